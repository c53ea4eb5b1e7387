//! Completions and manual pages hold every command and every option.

#[cfg(feature = "lab")]
use std::collections::HashMap;
#[cfg(feature = "lab")]
use std::fs;
use std::path::Path;

use karenina::train::TrainConfig;

use crate::command::{run, succeed};

fn printed(arguments: &str) -> String {
    String::from_utf8(succeed(Path::new("."), arguments).stdout).unwrap()
}

/// The commands that `karenina --help` lists.
fn commands() -> Vec<String> {
    let help = printed("--help");
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| !line.starts_with("   ")).map(str::split_whitespace);
    names.filter_map(|mut words| words.next().map(String::from)).collect()
}

/// The options that the help of a command lists.
fn options(command: &str) -> Vec<String> {
    let help = printed(&format!("{command} --help"));
    let words = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    words.map(|word| word.split([' ', '=', '[']).next().unwrap().to_string()).collect()
}

#[test]
fn completions_hold_every_command_and_its_options() {
    let all = commands();
    assert!(all.len() >= 13 && all.contains(&"train".into()), "{all:?}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&format!("completions {shell}"));
        for command in &all {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
        }
        let options = options("train");
        assert!(options.contains(&"hidden".into()), "{options:?}");
        for option in options {
            assert!(script.contains(&option), "{shell}: --{option}");
        }
    }
    assert_eq!(run(Path::new("."), "completions abacus").status.code(), Some(2));
}

#[test]
fn a_manual_page_lists_every_command_and_each_has_a_page_with_its_options() {
    // roff writes a hyphen as `\-`.
    let page = |of: &str| printed(&format!("man {of}")).replace("\\-", "-");
    let all = page("");
    for command in commands().iter().filter(|command| *command != "help") {
        assert!(all.contains(&format!("karenina-{command}(1)")), "{command} in {all}");
        let own = page(command);
        assert!(own.starts_with(".ie") || own.contains(".TH"), "{own}");
        for option in options(command) {
            assert!(own.contains(&format!("--{option}")), "{command}: --{option}");
        }
    }
    assert_eq!(run(Path::new("."), "man abacus").status.code(), Some(2));
}

/// A profile always has a preset: its help must not speak of what `train` would choose.
#[test]
fn the_help_of_profile_names_the_defaults_of_presets_alone() {
    let help = printed("profile --help");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("article 512, quick 192]"), "{help}");
    assert!(!help.contains("otherwise chosen"), "{help}");
}

#[test]
fn the_help_of_train_names_what_the_presets_have() {
    let help = printed("train --help");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let (article, quick) = (TrainConfig::article(), TrainConfig::quick());
    let of = |c: &TrainConfig| {
        let sizes = [c.hidden, c.batch, c.unroll].map(|n| n.to_string());
        let counts = [c.epochs, c.save_every].map(|n| n.to_string());
        let rates = [c.adam.learning_rate, c.adam.weight_decay, c.keep].map(|x| x.to_string());
        [&sizes[..], &counts, &rates].concat()
    };
    for (article, quick) in of(&article).iter().zip(of(&quick)) {
        let default = format!("[default: article {article}, quick {quick}, otherwise");
        assert!(help.contains(&default), "{default}: {help}");
    }
    let fixed = [article.layers as f64, article.clip, article.seed as f64];
    for (name, value) in ["LSTM layers", "turns clipping off", "of dropout"].iter().zip(fixed) {
        assert!(help.contains(&format!("{name} [default: {value}]")), "{name} {value}: {help}");
    }
}

/// The lines of a page's shell blocks that call karenina, each from its name on.
#[cfg(feature = "lab")]
fn calls(page: &str) -> Vec<String> {
    let page = page.replace("\\\n", " "); // a line that goes on in the next
    let blocks = page.split("```").skip(1).step_by(2);
    let shell = blocks.filter(|block| block.starts_with("sh\n") || block.starts_with("bash\n"));
    let lines = shell.flat_map(str::lines).map(|line| line.split(" # ").next().unwrap());
    let call = |line: &str| line.find("karenina ").map(|at| line[at + 9..].to_string());
    lines
        .filter(|line| !line.contains("cargo ") && !line.starts_with('#'))
        .filter_map(call)
        .collect()
}

#[cfg(feature = "lab")]
#[test]
fn every_command_that_the_documents_show_exists_with_its_options() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let docs = root.join("docs").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let pages =
        docs.chain([root.join("README.md")]).filter(|path| path.extension() == Some("md".as_ref()));
    let known: HashMap<_, _> = commands()
        .into_iter()
        .filter(|name| name != "help")
        .map(|name| (name.clone(), options(&name)))
        .collect();
    let mut checked = 0;
    for path in pages {
        for call in calls(&fs::read_to_string(&path).unwrap()) {
            let of_mpi = ["rank-timeout"]; // with the feature alone
            let mut words = call.split_whitespace();
            let options = known
                .get(words.next().unwrap_or_default())
                .unwrap_or_else(|| panic!("{}: {call}", path.display()));
            for option in words.filter_map(|word| word.strip_prefix("--")) {
                let option = option.split('=').next().unwrap();
                let exists =
                    options.iter().any(|known| known == option) || of_mpi.contains(&option);
                assert!(exists, "{}: --{option} in {call}", path.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 25, "{checked}");
}
