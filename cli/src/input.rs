//! The texts and trained networks that the user names.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use clap::{Arg, Args};
use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use karenina::error::{Error, Result};
use karenina::memory;
use karenina::model::{Initialisation, Parameters, Sizes};
use karenina::ranks::Ranks;
use karenina::text::builder::Builder;
use karenina::text::corpus::Corpus;
use karenina::text::vocabulary::Vocabulary;
use karenina::train::LogRow;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::{Loaded, RunFolder, checkpoints_in, load_best};
use rand::SeedableRng;
use rand_pcg::Pcg64;

use super::output::warn;

/// The arguments that name a text.
#[derive(Args)]
pub struct TextArgs {
    /// Text files, read as one text; `-` is standard input [default: the built-in text]
    #[arg(value_name = "TEXT")]
    texts: Vec<PathBuf>,
    /// Encoding of the text files, such as windows-1251 [default: UTF-8]
    #[arg(long, value_name = "NAME", requires = "texts")]
    encoding: Option<String>,
}

/// `texts` of a command that looks at a trained network; see [`TextArgs::read_for`].
pub fn of_network(texts: Arg) -> Arg {
    texts.help(
        "Text files, read as one text; `-` is standard input [default: the built-in text, unless the network was \
         trained on another]",
    )
}

impl TextArgs {
    /// See [`read_text`].
    pub fn read(&self) -> Result<Corpus> {
        read_text(&self.texts, self.encoding.as_deref())
    }

    /// [`TextArgs::read`] in each of several `ranks`, of which a launcher gives its input to one alone.
    pub fn read_on(&self, ranks: &Ranks) -> Result<Corpus> {
        Error::require(
            ranks.is_alone() || self.place_of_input().is_none(),
            "TEXT",
            "-",
            "a file where several ranks train",
        )?;
        self.require_memory(ranks.on_this_machine() as u64)?;
        self.read()
    }

    /// Refuses a text for which there is no memory in so many processes of this machine. Each asks before any has read
    /// much, for all have just met.
    fn require_memory(&self, processes: u64) -> Result<()> {
        if processes == 1 {
            return Ok(()); // it asks as it reads
        }
        let lengths = self.texts.iter().map(|path| fs::metadata(path).map_or(0, |file| file.len()));
        let bytes = lengths.fold(0, u64::saturating_add).saturating_mul(processes);
        memory::require(bytes, format!("{} in {processes} ranks on this machine", self.name()))
    }

    /// The text on which to look at `checkpoint`.
    ///
    /// # Errors
    /// Those of [`TextArgs::read`]; [`Error::Setting`] if none is named and the network was trained on
    /// another than the built-in one.
    pub fn read_for(&self, checkpoint: &Checkpoint) -> Result<Corpus> {
        let corpus = self.read()?;
        let is_other = checkpoint.text_sha256 != corpus.sha256() && !checkpoint.is_of_no_text();
        match self.is_embedded() && is_other {
            true => Err(Error::setting(
                "TEXT",
                "missing",
                "given: this network was not trained on the built-in text",
            )),
            false => Ok(corpus),
        }
    }

    /// Refuses a text of which so few characters, one to read and one to predict, are `left` to be looked at.
    pub fn require_two(&self, left: usize) -> Result<()> {
        if left >= 2 {
            return Ok(());
        }
        let reason = format!(
            "the network knows {left} of its characters, but needs at least 2: one to read and one to predict"
        );
        Err(unreadable(Path::new(&self.name()), ErrorKind::InvalidData, &reason))
    }

    /// Where a text is read from that only this process has, if one is: standard input, or a pipe that the shell has
    /// opened for it.
    pub fn place_of_input(&self) -> Option<String> {
        let is = |path: &Path, names: &[&str]| names.iter().any(|name| path.starts_with(name));
        self.texts.iter().find_map(|path| match path {
            _ if path == Path::new("-") => Some("on standard input".into()),
            _ if cfg!(not(unix)) => None,
            _ if is(path, &["/dev/stdin", "/dev/fd/0"]) => Some("on standard input".into()),
            _ if is(path, &["/dev/fd", "/proc/self/fd"]) => {
                Some(format!("in the place of {}", path.display()))
            }
            _ => None,
        })
    }

    /// Whether the user names no text.
    pub fn is_embedded(&self) -> bool {
        self.texts.is_empty()
    }

    /// The text's name for messages.
    pub fn name(&self) -> String {
        let names: Vec<_> = self.texts.iter().map(|path| path.display().to_string()).collect();
        if names.is_empty() { Corpus::embedded_name().into() } else { names.join(", ") }
    }
}

/// The argument that names a trained network.
#[derive(Args)]
pub struct ModelArg {
    /// A run's folder or one checkpoint file; for a folder, its best checkpoint by validation is used, or the
    /// newest if nothing was validated
    #[arg(
        long,
        aliases = ["checkpoint", "checkpoints"],
        value_name = "DIR or FILE",
        default_value = "checkpoints"
    )]
    pub run: PathBuf,
}

impl ModelArg {
    /// See [`load`].
    pub fn load(&self) -> Result<Checkpoint> {
        Ok(load(&self.run)?.checkpoint)
    }

    /// Refuses a network that computes `x`, which is `what`, if that is no finite number.
    pub fn require_finite(&self, what: &str, x: f64) -> Result<()> {
        if x.is_finite() {
            return Ok(());
        }
        let reason = format!("{what} is {x}: the network's weights are too large to compute with");
        Err(Error::checkpoint(&self.run, reason))
    }
}

/// The checkpoint in a file, or in a folder the best by validation; says which damaged ones it skipped.
pub fn load(path: &Path) -> Result<Loaded> {
    let loaded = load_best(path).map_err(|error| {
        let is_missing = [ErrorKind::NotFound, ErrorKind::NotADirectory].map(Some);
        match is_missing.contains(&error.io_kind()) && path.extension().is_none() {
            true => Error::NoCheckpoint { path: path.to_path_buf() }, // a folder that no run has made yet
            false => error,
        }
    })?;
    for error in &loaded.broken {
        warn(&format!("{error}; using {}", loaded.path.display()));
    }
    let log = path.join(RunFolder::LOG);
    if !is_log_of(&log, &loaded.checkpoint) {
        warn(&format!("{} and {} belong to different runs", loaded.path.display(), log.display()));
    }
    Ok(loaded)
}

/// Whether the log at `path` may be that of the checkpoint's run: not if it names another. A log that cannot be read
/// says nothing.
pub fn is_log_of(path: &Path, checkpoint: &Checkpoint) -> bool {
    match (LogRow::run_of(path), checkpoint.run) {
        (Ok(Some(log)), Some(run)) => log == run,
        _ => true,
    }
}

/// Whether there is a checkpoint in `folder`.
pub fn holds_run(folder: &Path) -> bool {
    checkpoints_in(folder).is_ok_and(|found| !found.is_empty())
}

/// The sizes of a network over `vocabulary` that the user describes.
pub fn new_sizes(vocabulary: &Vocabulary, hidden: usize, layers: usize) -> Result<Sizes> {
    for (name, value) in [("--hidden", hidden), ("--layers", layers)] {
        Error::require(value > 0, name, value, "at least 1")?;
    }
    Ok(Sizes::new(vocabulary.len(), hidden, layers))
}

/// A network of these `sizes` as training starts it.
pub fn new_network(sizes: Sizes, seed: u64) -> Result<Parameters<f64>> {
    let Sizes { hidden, layers, .. } = sizes;
    let bytes = Parameters::<f64>::bytes(sizes);
    memory::require(bytes, format!("--layers {layers} --hidden {hidden}"))?;
    let rng = &mut Pcg64::seed_from_u64(seed);
    Ok(Parameters::initial(sizes, Initialisation::Glorot, rng))
}

/// Reads the files `paths` as one text; `-` is standard input, and no path at all the text that is
/// built in.
///
/// * `encoding`: label of the files' encoding; UTF-8 without. A byte-order mark in a file outranks it.
///
/// # Errors
/// One sentence each for a label that nobody knows, a file that is missing, a folder or empty, and
/// bytes that mean nothing in the encoding.
pub fn read_text(paths: &[PathBuf], encoding: Option<&str>) -> Result<Corpus> {
    let encoding = encoding.map_or(Ok(UTF_8), find_encoding)?;
    if paths.is_empty() {
        return Ok(Corpus::embedded());
    }
    let mut corpus = Corpus::builder();
    for path in paths {
        corpus.begin_text();
        let name = read_one(path, encoding, &mut corpus)?;
        if corpus.is_at_start() {
            return Err(unreadable(name, ErrorKind::InvalidData, "it holds no text"));
        }
    }
    corpus.finish()
}

/// The encoding that `label` names on the web.
fn find_encoding(label: &str) -> Result<&'static Encoding> {
    let expected = "a label of the WHATWG Encoding Standard, such as utf-8, utf-16le, windows-1251, koi8-r, ibm866, \
                    iso-8859-5, latin1, windows-1252, macintosh, shift_jis, gbk or big5";
    Encoding::for_label_no_replacement(label.as_bytes())
        .ok_or_else(|| Error::setting("--encoding", label, expected))
}

/// Adds the text of one file to `corpus`; returns the file's name for messages.
fn read_one<'a>(
    path: &'a Path,
    encoding: &'static Encoding,
    corpus: &mut Builder,
) -> Result<&'a Path> {
    if path == Path::new("-") {
        let name = Path::new("standard input");
        decode(name, io::stdin().lock(), encoding, corpus)?;
        return Ok(name);
    }
    if path.is_dir() {
        let reason = match holds_run(path) {
            true => "it is the folder of a run, not a text",
            false => "it is a folder; name a text file in it",
        };
        return Err(unreadable(path, ErrorKind::IsADirectory, reason));
    }
    let file = File::open(path).map_err(Error::io("read", path))?;
    corpus.reserve(file.metadata().map_or(0, |metadata| metadata.len()));
    decode(path, file, encoding, corpus)?;
    Ok(path)
}

/// The error about the file `name` that cannot be read for this `reason`.
pub fn unreadable(name: &Path, kind: ErrorKind, reason: &str) -> Error {
    Error::io("read", name)(io::Error::new(kind, reason))
}

/// Adds to `corpus` the text that the bytes of `source`, called `name`, hold.
fn decode(
    name: &Path,
    mut source: impl Read,
    encoding: &'static Encoding,
    corpus: &mut Builder,
) -> Result<()> {
    let mut start = Vec::new();
    let read = source.by_ref().take(START).read_to_end(&mut start);
    read.map_err(Error::io("read", name))?;
    let marked = Encoding::for_bom(&start).map(|(encoding, _)| encoding);
    require_text(name, &start, marked.unwrap_or(encoding))?;
    // What has ended is not asked again: a terminal would have to be told twice.
    let rest = if (start.len() as u64) < START { 0 } else { u64::MAX };
    let whole = start.chain(source.take(rest));
    match marked.unwrap_or(encoding) {
        encoding if encoding == UTF_8 => corpus.read(name, whole),
        encoding => decode_other(name, whole, encoding, corpus),
    }
}

/// Bytes that tell what a file is.
const START: u64 = 1024;

/// Refuses a file that begins in an encoding of two or four bytes a character and is to be read in another, which would
/// take half a character for a whole one; and files that are known not to be texts.
fn require_text(name: &Path, start: &[u8], encoding: &'static Encoding) -> Result<()> {
    let utf_16 = utf_16(start);
    let is_full_of_zeros = 4 * start.iter().filter(|byte| **byte == 0).count() > start.len();
    let is_wide = encoding == UTF_16LE || encoding == UTF_16BE;
    let reason = match start {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
            "it is in UTF-32, which cannot be read; convert it to UTF-8".to_string()
        }
        [b'P', b'K', 3, 4, ..] => {
            "it is a ZIP archive, as .docx, .odt and .epub files are; save its text as plain text"
                .into()
        }
        [b'%', b'P', b'D', b'F', b'-', ..] => "it is a PDF; save its text as plain text".into(),
        [0x1f, 0x8b, ..] => "it is compressed with gzip; unpack it first".into(),
        _ if is_wide => return Ok(()),
        _ => match utf_16 {
            Some(label) => {
                format!("it looks like UTF-16; name its encoding, such as --encoding {label}")
            }
            None if is_full_of_zeros => {
                "it is no text: more than a quarter of it are zeros, as in a program or in UTF-32"
                    .into()
            }
            None => return Ok(()),
        },
    };
    Err(unreadable(name, ErrorKind::InvalidData, &reason))
}

/// The label of the UTF-16 that a file which begins like this seems to be in.
fn utf_16(start: &[u8]) -> Option<&'static str> {
    let half = |offset: usize| start.iter().skip(offset).step_by(2);
    // Whether bytes below `most` are frequent in this half, and so many times rarer in the other.
    let is_low = |offset: usize, most: u8, times: usize| {
        let low = |offset| half(offset).filter(|byte| **byte < most).count();
        4 * low(offset) > start.len() && times * low(1 - offset) < low(offset)
    };
    // Every other byte is 0 in Latin script, 4 in Cyrillic, 3, 5 and 6 in Greek, Hebrew and Arabic, and the bytes
    // between are mostly larger. A text in which such control characters stand anywhere is none of UTF-16. In the
    // scripts of India and Thailand it is 9 to 14, as tab and line end are, but 0 in a space.
    let is_upper = |offset: usize| {
        is_low(offset, 7, 8) || is_low(offset, 16, 3) && half(offset).any(|byte| *byte == 0)
    };
    let labels = [(1, "utf-16le"), (0, "utf-16be")];
    labels.into_iter().find_map(|(offset, label)| is_upper(offset).then_some(label))
}

/// Bytes that are decoded at once.
const CHUNK: usize = 1 << 16;

/// Decodes an encoding that is not UTF-8, and stops at the first malformed byte.
fn decode_other(
    name: &Path,
    mut source: impl Read,
    encoding: &'static Encoding,
    corpus: &mut Builder,
) -> Result<()> {
    let mut decoder = encoding.new_decoder_with_bom_removal();
    let mut bytes = vec![0; CHUNK];
    // No encoding grows more than threefold; should one do, the loop below goes round once more.
    let mut text = String::with_capacity(3 * CHUNK);
    let mut offset = 0;
    loop {
        let count = match source.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            count => count.map_err(Error::io("read", name))?,
        };
        let mut rest = &bytes[..count];
        loop {
            let is_last = count == 0;
            let (result, read) =
                decoder.decode_to_string_without_replacement(rest, &mut text, is_last);
            (rest, offset) = (&rest[read..], offset + read);
            corpus.push_str(&text)?;
            text.clear();
            match result {
                DecoderResult::InputEmpty if is_last => return Ok(()),
                DecoderResult::InputEmpty => break,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(bad, after) => {
                    return Err(Error::Malformed {
                        path: name.into(),
                        encoding: encoding.name(),
                        offset: offset - usize::from(bad) - usize::from(after),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use karenina::ranks::{Collective, Message};

    use super::*;

    /// Two ranks on one machine, of which the other says whatever this one says.
    #[derive(Debug)]
    struct Echo;

    impl Collective for Echo {
        fn rank(&self) -> usize {
            0
        }

        fn count(&self) -> usize {
            2
        }

        fn machine(&self) -> String {
            "here".into()
        }

        fn exchange(&self, send: &[Message<&[u8]>], receive: &mut [Message<&mut [u8]>]) {
            send.iter().zip(receive).for_each(|((_, from), (_, to))| to.copy_from_slice(from));
        }
    }

    #[test]
    #[cfg_attr(not(target_os = "linux"), ignore = "elsewhere nobody tells how much memory is free")]
    fn ranks_on_one_machine_ask_for_the_memory_of_all_their_texts() {
        let folder = tempfile::tempdir().unwrap();
        let text = |name: &str, length| {
            let path = folder.path().join(name);
            File::create(&path).unwrap().set_len(length).unwrap(); // takes no room on the disk
            path
        };
        let texts = vec![text("a", 1 << 42), text("b", 1 << 40)];
        let error = TextArgs { texts, encoding: None }.read_on(&Ranks::over(Echo)).unwrap_err();
        let said = "b in 2 ranks on this machine needs 10240.0 GiB of memory, but only ";
        assert!(error.to_string().contains(said), "{error}");
    }

    /// Decodes `bytes` of a file "f".
    fn read(bytes: &[u8], label: &str) -> std::result::Result<String, String> {
        find_encoding(label)
            .and_then(|encoding| {
                let mut corpus = Corpus::builder();
                decode(Path::new("f"), bytes, encoding, &mut corpus)?;
                corpus.finish()
            })
            .map(|corpus| corpus.characters().collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn other_encodings_are_decoded() {
        assert_eq!(read(b"\xc0\xed\xed\xe0\r\n", "windows-1251").unwrap(), "Анна\n");
        assert_eq!(read(b"\xe1\xce\xce\xc1", "koi8-r").unwrap(), "Анна");
        assert_eq!(read(b"caf\xe9", "latin1").unwrap(), "café");
        assert_eq!(read(b"\x10\x04=\x04=\x040\x04", "utf-16le").unwrap(), "Анна");
    }

    #[test]
    fn a_byte_order_mark_outranks_the_label() {
        assert_eq!(read(b"\xef\xbb\xbfcaf\xc3\xa9", "windows-1251").unwrap(), "café");
        assert_eq!(read(b"\xfe\xff\x04\x10", "utf-8").unwrap(), "А");
        assert_eq!(read(b"\xff\xfe\x10\x04", "utf-16le").unwrap(), "А");
    }

    #[test]
    fn a_text_in_wide_characters_is_not_read_as_one_full_of_zeros() {
        assert!(read(b"a\0n\0n\0a\0", "utf-8").unwrap_err().ends_with("--encoding utf-16le"));
        assert!(read(b"\0a\0n\0n\0a", "koi8-r").unwrap_err().ends_with("--encoding utf-16be"));
        assert!(read(b"\xff\xfe\0\0a\0\0\0", "utf-8").unwrap_err().contains("in UTF-32"));
        assert_eq!(read(b"an odd \0 in it", "utf-8").unwrap(), "an odd \0 in it");
        for lines in ["1\n2\n3\n".repeat(300), "a\tb\r\nc\td\r\n".repeat(300)] {
            assert_eq!(read(lines.as_bytes(), "utf-8").unwrap(), lines.replace('\r', ""));
        }
        for text in [
            "सभी सुखी परिवार एक जैसे होते हैं; हर दुखी परिवार अपने ढंग से दुखी होता है।",
            "ครอบครัวที่มีความสุขล้วนเหมือนกัน แต่ครอบครัวที่ไม่มีความสุขต่างก็ทุกข์ในแบบของตน",
            "సంతోషంగా ఉన్న కుటుంబాలన్నీ ఒకేలా ఉంటాయి; ప్రతి దుఃఖిత కుటుంబం తన దారిలో దుఃఖిస్తుంది.",
            "സന്തുഷ്ട കുടുംബങ്ങൾ എല്ലാം ഒരുപോലെയാണ്; ഓരോ ദുഃഖിത കുടുംബവും അതിന്റേതായ രീതിയിൽ.",
        ] {
            let [little, big] = [u16::to_le_bytes, u16::to_be_bytes]
                .map(|bytes| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>());
            assert!(read(&little, "utf-8").unwrap_err().ends_with("--encoding utf-16le"), "{text}");
            assert!(read(&big, "utf-8").unwrap_err().ends_with("--encoding utf-16be"), "{text}");
        }
    }

    /// On a terminal, the end has to be typed for each reading that meets it.
    #[test]
    fn the_end_of_a_text_is_read_once() {
        struct Once(bool);
        impl Read for Once {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                assert!(!std::mem::replace(&mut self.0, true), "read beyond the end");
                Ok(0)
            }
        }
        for encoding in [UTF_8, UTF_16LE] {
            let text = &b"ab"[..];
            let mut corpus = Corpus::builder();
            decode(Path::new("f"), text.chain(Once(false)), encoding, &mut corpus).unwrap();
        }
    }

    #[test]
    fn malformed_bytes_are_named_with_their_offset() {
        let place = |n| format!("byte {n} does not belong to any character");
        assert!(read(b"caf\xe9", "utf-8").unwrap_err().contains(&place(3)));
        assert_eq!(
            read(b"ab\xd2c", "windows-1253").unwrap_err(),
            format!("f is not windows-1253: {}", place(2))
        );
        assert!(read(b"\x82\xa0\x82!", "shift_jis").unwrap_err().ends_with(&place(2)));
        assert!(read(b"\xff\xfea\0b", "utf-16le").unwrap_err().ends_with(&place(4)));
        assert!(read(b"a\0\0\xd8b\0", "utf-16le").unwrap_err().ends_with(&place(2)));
    }

    #[test]
    fn chunks_of_a_file_may_end_anywhere_in_a_character() {
        let text = "é𝄞я\r\n".repeat(CHUNK / 4);
        for shift in 0..8 {
            let text = format!("{}{text}", &"abcdefgh"[shift..]);
            let utf_16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let expected = text.replace("\r\n", "\n");
            assert!(read(&utf_16, "utf-16le").unwrap() == expected, "UTF-16 from {shift}");
            assert!(read(text.as_bytes(), "utf-8").unwrap() == expected, "UTF-8 from {shift}");
            let cut = [utf_16, vec![0x00, 0xd8, 0x61, 0x00]].concat();
            let place = format!("byte {} does not", cut.len() - 4);
            assert!(read(&cut, "utf-16le").unwrap_err().contains(&place));
            let cut = [text.as_bytes(), b"\xe2\x82a"].concat();
            let place = format!("byte {} does not", text.len());
            assert!(read(&cut, "utf-8").unwrap_err().contains(&place));
        }
    }

    #[test]
    fn an_unknown_label_is_a_usage_error_that_lists_some() {
        let error = read_text(&[], Some("klingon")).unwrap_err();
        assert!(error.is_usage());
        let message = error.to_string();
        assert!(message.starts_with("--encoding is klingon, but must be a label"));
        for label in message.split("such as ").nth(1).unwrap().replace(" or ", ", ").split(", ") {
            find_encoding(label).unwrap();
        }
    }

    #[test]
    fn files_are_read_as_one_text() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [("a", "\u{feff}one\r"), ("b", "\ntwo")].map(|(name, text)| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        });
        assert_eq!(read_text(&paths, None).unwrap(), Corpus::from_text("one\ntwo"));
        assert_eq!(read_text(&[], None).unwrap(), Corpus::embedded());
    }

    #[test]
    fn folders_missing_and_empty_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = |name: &str| {
            let path = folder.path().join(name);
            let message = read_text(&[path], None).unwrap_err().to_string();
            message.replace(&folder.path().display().to_string(), "DIR").replace('\\', "/")
        };
        fs::write(folder.path().join("empty"), "").unwrap();
        fs::write(folder.path().join("mark"), "\u{feff}").unwrap();
        assert_eq!(message(""), "cannot read DIR/: it is a folder; name a text file in it");
        assert!(message("none").starts_with("cannot read DIR/none: "));
        assert_eq!(message("empty"), "cannot read DIR/empty: it holds no text");
        assert_eq!(message("mark"), "cannot read DIR/mark: it holds no text");
    }
}
