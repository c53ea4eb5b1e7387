//! Why a request gets no answer, in a sentence.

use karenina::error::Error;
use serde_json::Value;

/// What is said to a question.
pub type Answer = Result<Value, Refusal>;

/// The status where there is too little memory, or too much to do.
pub const NO_ROOM: u16 = 503;

/// A status of HTTP and a sentence for people.
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    pub sentence: String,
}

impl Refusal {
    pub fn new(status: u16, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    /// Of a request that says something impossible.
    pub fn bad(sentence: impl Into<String>) -> Self {
        Self::new(400, sentence)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::NoMemory { .. } => NO_ROOM,
            Error::NoCheckpoint { .. } => 404,
            error if error.is_missing() => 404,
            Error::UnknownCharacter { .. } => 400,
            error if error.is_usage() => 400,
            _ => 500,
        };
        Self::new(status, error.to_string())
    }
}
