use jiff::civil::Date;
use proptest::prelude::*;

use super::*;

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// Steps month by month and cuts the day of the month at the end: slow, and obviously right.
fn slow_plus_months(from: Day, months: u16) -> Day {
    let date = from.date();
    let (mut year, mut month) = (date.year(), date.month());
    for _ in 0..months {
        month += 1;
        if month == 13 {
            (year, month) = (year + 1, 1);
        }
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    Day::from_date(Date::constant(year, month, date.day().min(last))).unwrap()
}

#[test]
fn a_month_ends_where_the_calendar_says() {
    for (from, months, to) in [
        ("2024-01-15", 24, "2026-01-15"),
        ("2024-02-29", 24, "2026-02-28"),
        ("2024-02-29", 48, "2028-02-29"),
        ("2025-08-31", 6, "2026-02-28"),
        ("2025-12-31", 12, "2026-12-31"),
        ("2025-10-31", 1, "2025-11-30"),
        ("2025-10-31", 0, "2025-10-31"),
    ] {
        assert_eq!(plus_months(day(from), months), day(to), "{from} + {months}");
    }
    assert_eq!(plus_months(Day::MAX, 1), Day::MAX);
}

#[test]
fn a_pair_is_paid_for_every_two_years_and_a_childs_every_year() {
    for (age, slot, months) in [
        (15, Slot::Frame, 12),
        (16, Slot::Frame, 24),
        (0, Slot::RightLens, 12),
        (90, Slot::LeftLens, 24),
        (40, Slot::ContactLenses, 12),
    ] {
        assert_eq!(months_until_renewal(age, slot), months, "{age} {slot}");
    }
}

#[test]
fn the_table_of_early_renewals_is_the_published_one() {
    use EarlyRenewal::{Child, FrameFit, Medical, None as Nothing, SightChange};
    let rows = [
        (Nothing, Slot::Frame, 30, None),
        (SightChange, Slot::Frame, 16, Some(12)),
        (SightChange, Slot::RightLens, 16, Some(12)),
        (SightChange, Slot::RightLens, 15, None),
        (SightChange, Slot::ContactLenses, 30, None),
        (Child, Slot::RightLens, 15, Some(0)),
        (Child, Slot::LeftLens, 16, None),
        (Child, Slot::Frame, 10, None),
        (Child, Slot::Pairing, 10, Some(0)),
        (Medical, Slot::RightLens, 70, Some(0)),
        (Medical, Slot::RightLens, 3, Some(0)),
        (Medical, Slot::Frame, 70, None),
        (FrameFit, Slot::Frame, 5, Some(6)),
        (FrameFit, Slot::LeftLens, 5, Some(6)),
        (FrameFit, Slot::ShellFrame, 5, Some(6)),
        (FrameFit, Slot::Frame, 6, None),
    ];
    for (condition, slot, age, months) in rows {
        let got = earliest_early_renewal(condition, slot, age);
        assert_eq!(got, months, "{condition} {slot} {age}");
    }
}

#[test]
fn early_renewal_opens_on_its_day_and_not_the_day_before() {
    let judged = |condition, slot, age, today| {
        judge_early(condition, slot, age, day("2025-01-31"), day(today))
    };
    let change = EarlyRenewal::SightChange;
    let too_soon = Err(Reason::EarlyRenewalTooSoon);
    assert_eq!(judged(change, Slot::Frame, 30, "2026-01-30"), too_soon);
    assert_eq!(judged(change, Slot::Frame, 30, "2026-01-31"), Ok(()));
    let fit = EarlyRenewal::FrameFit;
    assert_eq!(judged(fit, Slot::Frame, 5, "2025-07-30"), too_soon);
    assert_eq!(judged(fit, Slot::Frame, 5, "2025-07-31"), Ok(()));
    let not_open = Err(Reason::EarlyRenewalNotOpen);
    assert_eq!(judged(fit, Slot::Frame, 6, "2025-07-31"), not_open);
    let nothing = judged(EarlyRenewal::None, Slot::Frame, 5, "2025-07-31");
    assert_eq!(nothing, Err(Reason::SlotHeld));
    let medical = EarlyRenewal::Medical;
    assert_eq!(judged(medical, Slot::LeftLens, 70, "2025-01-31"), Ok(()));
}

#[test]
fn the_two_predicates_say_yes_on_the_right_day() {
    let last = day("2024-06-30");
    assert!(!is_old_enough(Some(last), 24, day("2026-06-29")));
    assert!(is_old_enough(Some(last), 24, day("2026-06-30")));
    assert!(is_old_enough(None, 24, day("2026-06-29")));
    let change = EarlyRenewal::SightChange;
    let attested = |age, today| is_attested(change, Slot::Frame, age, last, day(today));
    assert!(attested(16, "2025-06-30"));
    assert!(!attested(15, "2025-06-30"));
    assert!(!attested(16, "2025-06-29"));
}

#[test]
fn a_prescription_counts_by_the_age_at_its_date() {
    let ends = |age, slot| {
        let date = day("2022-03-10");
        Prescription { date, age }.ends_on(slot).to_iso()
    };
    assert_eq!(ends(15, Slot::Frame), "2023-03-10");
    assert_eq!(ends(16, Slot::Frame), "2027-03-10");
    assert_eq!(ends(42, Slot::RightLens), "2027-03-10");
    assert_eq!(ends(43, Slot::RightLens), "2025-03-10");
    assert_eq!(ends(15, Slot::ContactLenses), "2023-03-10");
    assert_eq!(ends(16, Slot::ContactLenses), "2025-03-10");
    let prescription = Prescription {
        date: day("2022-03-10"),
        age: 30,
    };
    assert!(!prescription.is_valid(Slot::Frame, day("2022-03-09")));
    assert!(prescription.is_valid(Slot::Frame, day("2022-03-10")));
    assert!(prescription.is_valid(Slot::Frame, day("2027-03-09")));
    assert!(!prescription.is_valid(Slot::Frame, day("2027-03-10")));
}

#[test]
fn words_and_bytes_of_conditions_read_back() {
    for (place, condition) in EarlyRenewal::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(condition.byte()), place);
        assert_eq!(EarlyRenewal::from_byte(condition.byte()), Some(condition));
        assert_eq!(condition.as_str().parse(), Ok(condition));
    }
    assert_eq!(EarlyRenewal::from_byte(5), None);
    assert_eq!("Medical".parse::<EarlyRenewal>(), Err(UnknownEarlyRenewal));
}

proptest! {
    #[test]
    fn months_are_added_as_by_hand(from in 0u32..60_000, months in 0u16..300) {
        let from = Day::new(from);
        prop_assert_eq!(plus_months(from, months), slow_plus_months(from, months));
    }

    #[test]
    fn an_early_renewal_is_never_later_than_the_usual_one(
        age in 0u16..100, place in 0usize..Slot::ALL.len(), condition in 0u8..5,
    ) {
        let slot = Slot::ALL[place];
        let condition = EarlyRenewal::from_byte(condition).unwrap();
        let early = earliest_early_renewal(condition, slot, age);
        prop_assert!(early.is_none_or(|early| early <= months_until_renewal(age, slot)));
    }
}
