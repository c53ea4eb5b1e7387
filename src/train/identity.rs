//! What a run is called.

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::str::FromStr;

use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::error::{Error, Result};

/// The name of a run: a random number, so that no two runs share one.
///
/// Displayed and read as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(NonZeroU64);

impl RunId {
    /// The name with this number; zero is none.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// A name that no run has had; an error if the system has no random numbers.
    pub(crate) fn random() -> Result<Self> {
        loop {
            let number = OsRng.try_next_u64().map_err(|error| Error::Io {
                action: "draw a random number from",
                path: "the system".into(),
                source: io::Error::other(error),
            })?;
            if let Some(run) = Self::new(number) {
                return Ok(run);
            }
        }
    }

    /// Its number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for RunId {
    type Err = Error;

    /// Reads the one spelling that is written.
    fn from_str(text: &str) -> Result<Self> {
        let run = u64::from_str_radix(text, 16).ok().and_then(Self::new);
        run.filter(|run| run.to_string() == text).ok_or_else(|| {
            Error::setting("run", text, "16 hexadecimal digits in lower case, not all 0")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_in_no_other_spelling() {
        let run = RunId::new(0x00ab_cdef_0123_4567).unwrap();
        assert_eq!(run.to_string(), "00abcdef01234567");
        assert_eq!("00abcdef01234567".parse::<RunId>().unwrap(), run);
        for other in ["abcdef01234567", "00ABCDEF01234567", "+0abcdef01234567", "0000000000000000"]
        {
            assert!(other.parse::<RunId>().is_err(), "{other}");
        }
    }

    #[test]
    fn no_two_names_are_the_same() {
        assert_ne!(RunId::random().unwrap(), RunId::random().unwrap());
    }
}
