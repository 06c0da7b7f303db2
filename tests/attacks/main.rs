//! What thieves, the curious and strangers get: nothing, no more than was promised, and never unseen.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a scenario fails where it stands"
)]

mod edges;
mod incident;
mod privacy;
mod quota;
mod sealing;
mod thief;
