//! A run that is overwritten while the lab looks at it.

use std::fs;

use serde_json::json;

use super::support::Server;
use crate::command::{succeed, with_text};

#[test]
fn an_overwritten_run_shows_its_new_network() {
    let folder = with_text();
    let train =
        "train text --preset quick --hidden 4 --batch 2 --unroll 8 --steps 2 --no-samples --seed";
    succeed(folder.path(), &format!("{train} 1"));
    let lab = Server::start(folder.path(), "text --run checkpoints");
    let ask = |network: &str| lab.ask("walk", &json!({"network": network, "text": "abc"}));
    let before = ["0", "0:2"].map(ask);
    let watched = || lab.ask("watch", &json!({"runs": [0]}))[0]["run"].as_str().map(String::from);
    let name = watched();
    succeed(folder.path(), &format!("{train} 2 --overwrite"));
    for (network, before) in ["0", "0:2"].into_iter().zip(before) {
        assert_ne!(ask(network), before, "{network}");
    }
    assert!(name.is_some() && watched() != name, "the page forgets what the old run wrote");
}

#[test]
fn one_run_that_cannot_be_read_hides_no_other() {
    let folder = with_text();
    let train =
        "train text --preset quick --hidden 4 --batch 2 --unroll 8 --steps 2 --no-samples --run";
    for run in ["good", "bad", "gone"] {
        succeed(folder.path(), &format!("{train} {run}"));
    }
    let lab = Server::start(folder.path(), "text --run good --run bad --run gone");
    fs::write(folder.path().join("bad/log.csv"), "step,epoch\n\0\0\0").unwrap();
    fs::remove_dir_all(folder.path().join("gone")).unwrap();
    let seen = lab.ask("watch", &json!({"runs": [0, 1, 2]}));
    let states: Vec<_> = seen.as_array().unwrap().iter().map(|run| run["state"].as_str()).collect();
    assert_eq!(states[0], Some("finished"), "{seen}");
    assert!(states[1].unwrap().contains("log.csv"), "{seen}");
    for run in seen.as_array().unwrap() {
        assert!(run["curves"]["stretches"].is_array() && run["events"].is_array(), "{run}");
    }
}

#[test]
fn the_next_best_network_is_shown_where_the_best_is_gone() {
    let folder = with_text();
    // So fast that it gets worse.
    let train = "train text --preset quick --hidden 4 --batch 2 --unroll 8 --validation 2 --save-every 1 \
                 --learning-rate 20 --weight-decay 0 --steps 9 --no-samples --threads 1";
    succeed(folder.path(), train);
    let lab = Server::start(folder.path(), "text --run checkpoints");
    let best = || {
        let walk = lab.ask("walk", &json!({"network": "0", "text": "abc"}));
        walk["network"].as_str().unwrap().strip_prefix("0:").unwrap().to_string()
    };
    let before = best();
    assert_ne!(before, "9", "the newest is not the best");
    fs::remove_file(folder.path().join(format!("checkpoints/i{before}_l4.ckpt"))).unwrap();
    assert_ne!(best(), before);
}
