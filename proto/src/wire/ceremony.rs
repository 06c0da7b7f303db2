//! The messages of `CeremonyService`: a step is asked for, and a signed message comes back.

use super::{WireError, v1};
use crate::dkg::{Message, Step};
use crate::hash::Hash;

/// Asks for what a member says in one step of the ceremony with this plan.
#[must_use]
pub fn fetch(plan: Hash, step: Step) -> v1::FetchRequest {
    v1::FetchRequest {
        plan: plan.as_bytes().to_vec(),
        step: step as i32,
    }
}

/// Reads which plan and step are asked for.
///
/// # Errors
/// A plan that is not 32 bytes, or a number that is no step.
pub fn read_fetch(request: &v1::FetchRequest) -> Result<(Hash, Step), WireError> {
    let plan = Hash::from_slice(&request.plan).ok_or(WireError::Length {
        field: "plan",
        got: request.plan.len(),
        want: crate::hash::HASH_BYTES,
    })?;
    let step = u32::try_from(request.step).ok().and_then(Step::from_number);
    let unknown = WireError::Value {
        field: "step",
        got: request.step.into(),
    };
    Ok((plan, step.ok_or(unknown)?))
}

/// What a member says.
#[must_use]
pub fn said(message: &Message) -> v1::FetchResponse {
    v1::FetchResponse {
        message: message.to_bytes().to_vec(),
    }
}

/// Reads what a member says. Whether it signed it is not checked yet.
///
/// # Errors
/// [`WireError::Ceremony`].
pub fn read_said(response: &v1::FetchResponse) -> Result<Message, WireError> {
    Ok(Message::parse(&response.message)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_reads_back_and_no_other_number_is_one() {
        let plan = Hash::from_bytes([7; 32]);
        for step in Step::ALL {
            assert_eq!(read_fetch(&fetch(plan, step)), Ok((plan, step)));
        }
        for number in [0, 7, -1] {
            let mut request = fetch(plan, Step::View);
            request.step = number;
            let got = number.into();
            let refused = WireError::Value { field: "step", got };
            assert_eq!(read_fetch(&request), Err(refused));
        }
        let mut request = fetch(plan, Step::View);
        request.plan.pop();
        assert!(matches!(
            read_fetch(&request),
            Err(WireError::Length { got: 31, .. })
        ));
    }
}
