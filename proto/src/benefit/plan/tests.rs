use super::super::Counting;
use super::*;
use crate::ids::Day;

fn code(text: &str) -> GroupedCode {
    text.parse().unwrap()
}

fn all_codes(rule: impl Fn(GroupedCode) -> Rule) -> BTreeMap<GroupedCode, PlanRule> {
    let rules = GroupedCode::all().map(|code| (code, PlanRule::everywhere(rule(code))));
    rules.collect()
}

const IN_FULL: Rule = Rule::Full { limit: None };

fn full_class_a(code: GroupedCode) -> Rule {
    match class_of(code) {
        Some(ProductClass::A) => IN_FULL,
        _ => Rule::COPAYMENT,
    }
}

fn draft(kind: PlanKind) -> PlanDraft {
    let rules = match kind {
        PlanKind::Mandatory => all_codes(|_| Rule::mandatory(super::super::Percent::WHOLE)),
        PlanKind::Free => BTreeMap::new(),
        PlanKind::Responsible | PlanKind::Solidarity => all_codes(full_class_a),
    };
    PlanDraft {
        name: "CONFORT-2".parse().unwrap(),
        kind,
        valid: Period {
            from: "2026-01-01".parse().unwrap(),
            to: "2026-12-31".parse().unwrap(),
        },
        rules,
        limits: (kind == PlanKind::Responsible).then_some(Limits::RESPONSIBLE),
        renewal: RenewalMonths::PUBLISHED,
    }
}

/// What a responsible draft is refused for after this change.
fn refused(change: impl Fn(&mut PlanDraft)) -> Option<PlanError> {
    let mut changed = draft(PlanKind::Responsible);
    change(&mut changed);
    Plan::new(changed).err()
}

#[test]
fn each_kind_has_a_plan_that_keeps_its_rules() {
    for kind in [
        PlanKind::Mandatory,
        PlanKind::Responsible,
        PlanKind::Solidarity,
        PlanKind::Free,
    ] {
        assert!(Plan::new(draft(kind)).is_ok(), "{kind:?}");
    }
}

#[test]
fn a_responsible_plan_pays_every_code_of_class_a_in_full_everywhere() {
    let class_a = |code: &GroupedCode| class_of(*code) == Some(ProductClass::A);
    for code in GroupedCode::all().filter(class_a) {
        let expected = Some(PlanError::ClassA { code });
        let missing = refused(|draft| {
            draft.rules.remove(&code);
        });
        assert_eq!(missing, expected, "{code}");
        let limit = Some(Cents::new(1_000));
        for rule in [Rule::COPAYMENT, Rule::Nothing, Rule::Full { limit }] {
            let other = refused(|draft| {
                draft.rules.insert(code, PlanRule::everywhere(rule));
            });
            assert_eq!(other, expected, "{code}");
            let name: NetworkName = "Optique-Plus".parse().unwrap();
            let network = refused(|draft| {
                let network = Some(NetworkRule {
                    name: name.clone(),
                    rule,
                });
                let rule = IN_FULL;
                draft.rules.insert(code, PlanRule { rule, network });
            });
            assert_eq!(network, expected, "{code}");
        }
    }
}

#[test]
fn a_responsible_plan_covers_frames_and_lenses_of_class_b() {
    for text in ["M03", "M04", "VU1", "VM7"] {
        let expected = Some(PlanError::ClassB { code: code(text) });
        let missing = refused(|draft| {
            draft.rules.remove(&code(text));
        });
        let nothing = refused(|draft| {
            let rule = PlanRule::everywhere(Rule::Nothing);
            draft.rules.insert(code(text), rule);
        });
        assert_eq!([missing, nothing], [expected; 2], "{text}");
    }
    let missing = |text: &str| {
        refused(|draft| {
            draft.rules.remove(&code(text));
        })
    };
    assert_eq!([missing("LEN"), missing("SV4")], [None, None]);
}

#[test]
fn a_responsible_plan_keeps_each_least_each_most_and_the_frames() {
    assert_eq!(
        refused(|draft| draft.limits = None),
        Some(PlanError::Limits)
    );
    for (place, bracket) in Bracket::ALL.into_iter().enumerate() {
        let allowed = Limits::RESPONSIBLE.span(bracket);
        let expected = Some(PlanError::Bracket { bracket, allowed });
        let with = |least: u64, most: u64| {
            refused(|draft| {
                let limits = draft.limits.as_mut().unwrap();
                let (least, most) = (Cents::new(least), Cents::new(most));
                limits.spans[place] = Span { least, most };
            })
        };
        let (least, most) = (allowed.least.get(), allowed.most.get());
        assert_eq!(with(least - 1, most), expected);
        assert_eq!(with(least, most + 1), expected);
        assert_eq!(with(least + 1, most - 1), None);
        assert_eq!(with(most, least), Some(PlanError::Span { bracket }));
    }
    let frame =
        |most: u64| refused(|draft| draft.limits.as_mut().unwrap().frame_most = Cents::new(most));
    let most = Cents::new(10_000);
    assert_eq!(frame(10_001), Some(PlanError::Frame { most }));
    assert_eq!(frame(5_000), None);
}

#[test]
fn renewal_times_and_dates_are_those_of_the_kind() {
    let renewal = |renewal| refused(move |draft| draft.renewal = renewal);
    let longer = RenewalMonths {
        adult: 36,
        ..RenewalMonths::PUBLISHED
    };
    assert_eq!(renewal(longer), Some(PlanError::PublishedRenewal));
    assert_eq!(renewal(RenewalMonths::uniform(0)), Some(PlanError::Renewal));
    let turned = refused(|draft| draft.valid.to = Day::new(0));
    assert_eq!(turned, Some(PlanError::Period));
    let mut free = draft(PlanKind::Free);
    free.renewal = longer;
    assert!(Plan::new(free).is_ok());
}

#[test]
fn a_mandatory_plan_has_rates_and_nothing_else() {
    let with = |rule| {
        let mut mandatory = draft(PlanKind::Mandatory);
        let frame = PlanRule::everywhere(rule);
        mandatory.rules.insert(code("M03"), frame);
        Plan::new(mandatory).err()
    };
    let expected = Some(PlanError::Mandatory { code: code("M03") });
    let most = Cents::new(100);
    let counting = Counting::Alone;
    assert_eq!(with(Rule::Cap { most, counting }), expected);
    assert_eq!(with(IN_FULL), expected);
    assert_eq!(with(Rule::Nothing), None);
    let mut limited = draft(PlanKind::Mandatory);
    limited.limits = Some(Limits::RESPONSIBLE);
    assert_eq!(Plan::new(limited).err(), Some(PlanError::Limits));
}

#[test]
fn a_solidarity_plan_pays_the_copayment_outside_class_a() {
    let mut generous = draft(PlanKind::Solidarity);
    let most = Cents::new(5_000);
    let counting = Counting::Alone;
    let frame = PlanRule::everywhere(Rule::Cap { most, counting });
    generous.rules.insert(code("M03"), frame);
    let expected = PlanError::Solidarity { code: code("M03") };
    assert_eq!(Plan::new(generous).err(), Some(expected));
}

#[test]
fn terms_run_while_both_plan_and_contract_run_and_limits_stand_where_they_count() {
    let plan = Plan::new(draft(PlanKind::Responsible)).unwrap();
    let rights = Period {
        from: "2025-07-01".parse().unwrap(),
        to: "2026-06-30".parse().unwrap(),
    };
    let terms = plan.terms(code("VU1"), rights).unwrap();
    assert_eq!(terms.rights.from.to_iso(), "2026-01-01");
    assert_eq!(terms.rights.to.to_iso(), "2026-06-30");
    assert_eq!(terms.limits, Some(Limits::RESPONSIBLE));
    assert_eq!(plan.terms(code("M01"), rights).unwrap().limits, None);
    let lenses = plan.terms(code("LEN"), rights).unwrap();
    assert_eq!((lenses.renewal.adult, terms.renewal.adult), (12, 24));
    let before = Period {
        from: Day::new(0),
        to: "2025-12-31".parse().unwrap(),
    };
    assert_eq!(plan.terms(code("VU1"), before), None);
    assert_eq!(plan.all_terms(rights).count(), GroupedCode::all().count());
}

#[test]
fn no_error_quotes_what_was_wrong() {
    let error = refused(|draft| draft.limits.as_mut().unwrap().spans[0].most = Cents::new(77_777));
    let shown = error.unwrap().to_string();
    assert_eq!(
        shown,
        "limits a: a responsible plan pays 50.00 to 420.00 EUR"
    );
}
