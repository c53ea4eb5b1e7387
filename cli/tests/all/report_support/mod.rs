//! A run of four steps on a text full of markup, and the command that reports on it.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::command::{karenina, succeed};

/// Characters that mean something in HTML or turn the direction of writing, quotes, brackets.
const PIECE: &str = "<script>alert(\"Anna & Co\")</script> \"No,\" she said (the 3rd time), it's\n\
                     </div> all over' ]]> <!-- &lt; \u{202e} \u{0} {x} «да» –\n\nThe old dog rose & lay\n";

/// A text of more than the 3000 characters that a report shows.
pub fn text() -> String {
    PIECE.repeat(25)
}

/// A folder with `text.txt` and a new run on it in `checkpoints`.
pub fn new_run_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text.txt"), text()).unwrap();
    let arguments = "train text.txt --hidden 12 --layers 2 --batch 4 --unroll 20 --steps 4 --save-every 1 \
                     --validation 0.2 --no-samples";
    succeed(folder.path(), arguments);
    folder
}

/// The names of a run's files, and what is in them.
static RUN: LazyLock<Vec<(OsString, Vec<u8>)>> = LazyLock::new(|| {
    let folder = new_run_folder();
    let files = fs::read_dir(folder.path().join("checkpoints")).unwrap().map(Result::unwrap);
    files.map(|file| (file.file_name(), fs::read(file.path()).unwrap())).collect()
});

/// As [`new_run_folder`], with a copy of one run, which is trained once for all tests.
pub fn run_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text.txt"), text()).unwrap();
    let run = folder.path().join("checkpoints");
    fs::create_dir(&run).unwrap();
    for (name, bytes) in &*RUN {
        fs::write(run.join(name), bytes).unwrap();
    }
    folder
}

/// `karenina report` on a [`run_folder`]; it writes `report.html` there.
pub fn report(folder: &Path) -> Command {
    karenina(folder, ["report", "text.txt"])
}

/// Runs `command`, which must succeed.
pub fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
