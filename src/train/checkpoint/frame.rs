//! The frame around a payload: magic, version, length, checksum.

use std::io::{self, Write};
use std::path::Path;

use crc32fast::Hasher;

use crate::error::Error;

/// First bytes of a checkpoint. The first is no text; the line ends are there to be spoilt by a
/// program that takes the file for text.
pub const MAGIC: [u8; 12] = *b"\x89karenina\r\n\x1a";
/// The version that this crate writes, and the newest that it reads.
pub const VERSION: u32 = 4;
/// Bytes before the payload.
pub const HEADER: usize = 28;

/// What stands before the payload.
#[derive(Clone, Copy)]
pub struct Header {
    /// The version of the payload.
    pub version: u32,
    /// Bytes of the payload.
    pub length: u64,
    /// CRC-32 of the payload.
    pub crc: u32,
}

/// Why there is no checkpoint in a file.
#[derive(Debug)]
pub enum Flaw {
    /// Its bytes prove that it is none, or no whole one.
    Damaged(String),
    /// It has this version, which is not known yet.
    Newer(u32),
}

impl From<String> for Flaw {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

/// The first bytes of other programs' files.
const OTHERS: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "a zip archive, as PyTorch writes"),
    (b"\x89HDF\r\n\x1a\n", "HDF5, as Keras writes"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x1f\x8b", "a gzip file"),
    (b"model_checkpoint_path", "a TensorFlow checkpoint index"),
];

impl Header {
    /// The header at the `start` of a file of `file_length` bytes, or why it begins no checkpoint.
    pub fn read(start: &[u8], file_length: u64) -> Result<Self, Flaw> {
        check_magic(start)?;
        let header = start.get(..HEADER).ok_or_else(|| cut_short(file_length, HEADER as u64))?;
        let version = u32::from_le_bytes(field(header, 12));
        if version > VERSION {
            return Err(Flaw::Newer(version));
        }
        if version == 0 {
            return Err("damaged: there is no format version 0".to_string().into());
        }
        let length = u64::from_le_bytes(field(header, 16));
        // The length was asked for before the start was read: the file may have grown since.
        let found = file_length.saturating_sub(HEADER as u64);
        if found < length {
            return Err(cut_short(file_length, length.saturating_add(HEADER as u64)).into());
        }
        if found > length {
            return Err(format!("damaged: {} bytes follow after its end", found - length).into());
        }
        Ok(Self { version, length, crc: u32::from_le_bytes(field(header, 24)) })
    }

    /// Its [`HEADER`] bytes.
    pub fn bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..12].copy_from_slice(&MAGIC);
        bytes[12..16].copy_from_slice(&self.version.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.length.to_le_bytes());
        bytes[24..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }
}

/// Keeps length and checksum of a payload that is written to it, and nothing else of it.
#[derive(Default)]
pub struct Sum {
    length: u64,
    crc: Hasher,
}

impl Sum {
    /// The header of what was written.
    pub fn header(self) -> Header {
        Header { version: VERSION, length: self.length, crc: self.crc.finalize() }
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length += bytes.len() as u64;
        self.crc.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn check_magic(start: &[u8]) -> Result<(), String> {
    if start.is_empty() {
        return Err(
            "empty, 0 bytes: it was not completely written; an older checkpoint may work".into()
        );
    }
    let shared = start.len().min(MAGIC.len());
    if start[..shared] == MAGIC[..shared] {
        return Ok(());
    }
    if start.starts_with(&MAGIC[..9]) {
        return Err("damaged: its line ends were changed, as by a transfer in text mode".into());
    }
    let other = OTHERS.iter().find(|(magic, _)| start.starts_with(magic));
    let other = match other {
        Some((_, kind)) => format!(" but {kind}"),
        None if start.get(8) == Some(&b'{') => " but what looks like a safetensors file".into(),
        None => String::new(),
    };
    Err(format!("not a karenina checkpoint{other}"))
}

fn cut_short(found: u64, needed: u64) -> String {
    format!("cut short: {found} bytes of {needed}; an older checkpoint may work")
}

fn field<const N: usize>(header: &[u8], offset: usize) -> [u8; N] {
    header[offset..offset + N].try_into().expect("the header is long enough")
}

/// Version and payload of the whole file `bytes`, the checksum proven; or why there is none.
pub fn unwrap(bytes: &[u8]) -> Result<(u32, &[u8]), Flaw> {
    let header = Header::read(bytes, bytes.len() as u64)?;
    let payload = &bytes[HEADER..];
    if crc32fast::hash(payload) != header.crc {
        let reason = "damaged: its checksum is wrong; an older checkpoint may work";
        return Err(Flaw::Damaged(reason.into()));
    }
    Ok((header.version, payload))
}

/// An error about the checkpoint at `path`; for `map_err`.
pub fn at<F: Into<Flaw>>(path: &Path) -> impl Fn(F) -> Error {
    let path = path.to_path_buf();
    move |flaw| match flaw.into() {
        Flaw::Damaged(reason) => Error::Damaged { path: path.clone(), reason },
        Flaw::Newer(found) => Error::Newer { path: path.clone(), found, known: VERSION },
    }
}
