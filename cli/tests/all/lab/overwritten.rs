//! A run that is overwritten while the lab looks at it.

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
    succeed(folder.path(), &format!("{train} 2 --overwrite"));
    for (network, before) in ["0", "0:2"].into_iter().zip(before) {
        assert_ne!(ask(network), before, "{network}");
    }
}
