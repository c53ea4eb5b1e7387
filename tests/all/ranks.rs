//! The same bits for any number of ranks. They are threads here, which talk through channels; `tests/ranks/run`
//! does the same with processes and MPI.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use karenina::error::{Error, Result};
use karenina::ranks::{Collective, Message, Ranks, Shares};
use karenina::study::choice::Choice;
use karenina::study::plan::Plan;
use karenina::text::batches::Validation;
use karenina::text::corpus::Corpus;
use karenina::text::vocabulary::Vocabulary;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::memory::Memory;
use karenina::train::{TrainConfig, Trainer, Workers, thread_count, thread_count_in};

/// A rank with a channel to and from each rank, itself included.
#[derive(Debug)]
struct Wire {
    rank: usize,
    /// Ranks on each machine.
    on_machine: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Mutex<Receiver<Vec<u8>>>>,
}

impl Collective for Wire {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.to.len()
    }

    fn machine(&self) -> String {
        format!("machine-{}", self.rank / self.on_machine)
    }

    fn exchange(&self, send: &[Message<&[u8]>], receive: &mut [Message<&mut [u8]>]) {
        for &(rank, bytes) in send {
            assert_ne!(rank, self.rank, "no message goes to the rank itself");
            self.to[rank].send(bytes.to_vec()).expect("the rank is there");
        }
        for (rank, bytes) in receive {
            let message = self.from[*rank].lock().unwrap().recv().expect("the rank is there");
            bytes.copy_from_slice(&message);
        }
    }
}

/// `work` as each of `count` ranks; what each returns.
fn on_ranks<T: Send>(count: usize, work: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
    on_machines(count, 1, work)
}

/// The same with so many ranks on each machine.
fn on_machines<T: Send>(
    count: usize,
    on_machine: usize,
    work: impl Fn(Ranks) -> T + Sync,
) -> Vec<T> {
    on_wires(count, on_machine, |wire| work(Ranks::over(wire)))
}

/// `work` with the end of the wire of each of `count` ranks.
fn on_wires<T: Send>(count: usize, on_machine: usize, work: impl Fn(Wire) -> T + Sync) -> Vec<T> {
    let wire = |rank| Wire { rank, on_machine, to: vec![], from: vec![] };
    let mut wires: Vec<_> = (0..count).map(wire).collect();
    for from in 0..count {
        for to in 0..count {
            let (sender, receiver) = channel();
            wires[from].to.push(sender);
            wires[to].from.push(Mutex::new(receiver));
        }
    }
    thread::scope(|scope| {
        let work = &work;
        let ranks: Vec<_> = wires.into_iter().map(|wire| scope.spawn(move || work(wire))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// `lead` with the workers of rank 0 of `count`, whom the others follow.
fn led<T: Send>(count: usize, threads: usize, lead: impl Fn(&Workers) -> T + Sync) -> T {
    let results = on_ranks(count, |ranks| {
        let workers = Workers { threads, ranks };
        if workers.ranks.rank() != 0 {
            workers.follow(text());
            return None;
        }
        let result = lead(&workers);
        workers.dismiss();
        Some(result)
    });
    results.into_iter().next().flatten().expect("rank 0 returns something")
}

fn text() -> Corpus {
    Corpus::from_text(
        &(0..1400_usize).map(|i| b"abcdefg"[i * i % 11 % 7] as char).collect::<String>(),
    )
}

/// 11 rows in so many groups, each of more than one piece if T is large.
fn config(groups: usize, unroll: usize) -> TrainConfig {
    let config = TrainConfig::builder().hidden(6).batch(11).unroll(unroll).keep(0.8).groups(groups);
    config.validation(Validation::Batches(2)).steps(Some(8)).build().unwrap()
}

/// The checkpoint without what its history says of time, after training up to step `end`.
fn train(mut trainer: Trainer, end: u64) -> Checkpoint {
    while trainer.step() < end {
        trainer.next().unwrap().unwrap();
        if trainer.step().is_multiple_of(3) {
            trainer.validate();
        }
    }
    trainer.gather_state();
    let mut checkpoint = trainer.checkpoint().clone();
    checkpoint.history.iter_mut().for_each(|row| row.seconds = 0.0);
    checkpoint
}

#[test]
fn any_number_of_ranks_gives_the_bits_of_one_process() {
    for (groups, unroll) in [(8, 9), (7, 9), (11, 3)] {
        let config = config(groups, unroll);
        let alone = train(Trainer::new(&text(), config.clone(), 1).unwrap(), 8);
        assert!(alone.history.iter().any(|row| row.validation.is_some()));
        for ranks in 1..=groups {
            let threads = 1 + ranks % 2;
            let found = led(ranks, threads, |workers| {
                train(Trainer::new(&text(), config.clone(), workers).unwrap(), 8)
            });
            assert!(found == alone, "{groups} groups: {ranks} ranks differ from one process");
        }
    }
}

#[test]
fn pieces_of_a_group_that_is_cut_are_added_in_one_order() {
    let text = Corpus::from_text(&"to and fro, to and fro. ".repeat(500));
    let config = TrainConfig::builder().hidden(5).batch(4).unroll(1500).groups(4).steps(Some(2));
    let config = config.build().unwrap();
    let alone = train(Trainer::new(&text, config.clone(), 2).unwrap(), 2);
    for ranks in 2..=4 {
        let found = on_ranks(ranks, |ranks| {
            let workers = Workers { threads: 1, ranks };
            if workers.ranks.rank() != 0 {
                workers.follow(text.clone());
                return None;
            }
            let end = train(Trainer::new(&text, config.clone(), &workers).unwrap(), 2);
            workers.dismiss();
            Some(end)
        });
        assert!(found[0].as_ref() == Some(&alone), "{ranks} ranks");
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks_at_every_stop() {
    let alone = train(Trainer::new(&text(), config(8, 9), 1).unwrap(), 8);
    let mut checkpoint = train(Trainer::new(&text(), config(8, 9), 2).unwrap(), 1);
    for (ranks, end) in [(3, 2), (8, 4), (1, 5), (2, 6), (5, 8)] {
        checkpoint = led(ranks, 1, |workers| {
            let start = checkpoint.clone();
            train(Trainer::from_checkpoint(start, &text(), workers).unwrap(), end)
        });
    }
    assert!(checkpoint == alone);
}

/// The followers take part in one trainer after the other, as when a plan tries out a step.
#[test]
fn ranks_follow_one_trainer_after_the_other() {
    let end = led(3, 1, |workers| {
        let other = config(4, 5);
        Trainer::new(&text(), other, workers).unwrap().next().unwrap().unwrap();
        train(Trainer::new(&text(), config(8, 9), workers).unwrap(), 8)
    });
    assert!(end == train(Trainer::new(&text(), config(8, 9), 1).unwrap(), 8));
}

#[test]
fn more_ranks_than_groups_are_refused() {
    let error = |ranks| {
        led(ranks, 1, |workers| {
            Trainer::new(&text(), config(4, 9), workers).map(drop).unwrap_err().to_string()
        })
    };
    let expected = "but must be from 1 to 4, since the batch has 4 groups of rows";
    assert_eq!(error(5), format!("ranks is 5, {expected}"));
    led(4, 1, |workers| drop(Trainer::new(&text(), config(4, 9), workers).unwrap()));
}

#[test]
fn a_rank_that_cannot_take_part_is_named() {
    let errors = on_ranks(3, |ranks| {
        let workers = Workers { threads: 1, ranks };
        let rank = workers.ranks.rank();
        let text = if rank == 2 { Corpus::from_text(&"another ".repeat(200)) } else { text() };
        if rank != 0 {
            workers.follow(text);
            return String::new();
        }
        let error = Trainer::new(&text, config(8, 9), &workers).map(drop).unwrap_err().to_string();
        workers.dismiss();
        error
    });
    let expected =
        "rank 2 on machine-2: cannot resume from the checkpoint: it was trained on another text";
    assert_eq!(errors[0], expected);
}

/// As when a network that lacks a character of the text is tried, and then another.
#[test]
fn a_rank_whose_text_cannot_be_translated_keeps_it_for_the_next_trainer() {
    let end = led(2, 1, |workers| {
        let mut other = Trainer::new(&text(), config(8, 9), 1).unwrap().checkpoint().clone();
        other.vocabulary = Vocabulary::from_text("uvwxyz");
        let error = Trainer::from_checkpoint(other, &text(), workers).map(drop).unwrap_err();
        assert!(error.to_string().ends_with("does not know the character 'a'"), "{error}");
        train(Trainer::new(&text(), config(8, 9), workers).unwrap(), 3)
    });
    assert!(end == train(Trainer::new(&text(), config(8, 9), 1).unwrap(), 3));
}

#[test]
fn ranks_that_differ_are_named_in_all_of_them() {
    let compared = |differs: usize| {
        on_ranks(3, move |ranks| {
            let hidden = if ranks.rank() == differs { "9" } else { "8" };
            let facts = [("karenina", "1"), ("--hidden", hidden)];
            let facts = facts.map(|(name, value)| (name.to_string(), value.to_string()));
            ranks.compare(&facts).map_err(|error| error.to_string())
        })
    };
    assert!(compared(3).iter().all(|result| result.is_ok()));
    let expected = "rank 2 on machine-2: it has --hidden 9, but rank 0 on machine-0 has --hidden 8";
    assert!(compared(2).iter().all(|result| *result == Err(expected.into())));
    // Where rank 0 is the odd one, the first of the others is named.
    assert!(compared(0)[0].as_ref().unwrap_err().starts_with("rank 1 on machine-1: "));
}

#[test]
fn all_ranks_fail_if_one_does() {
    let results = on_ranks(3, |ranks| {
        let fails = ranks.rank() == 1;
        let own: Result<()> = match fails {
            true => Err(Error::NoCheckpoint { path: "f".into() }),
            false => Ok(()),
        };
        ranks.agree(own).unwrap_err().to_string()
    });
    let own = "f holds no checkpoint (i*_l*.ckpt)";
    assert_eq!(results[1], own);
    assert_eq!([&results[0], &results[2]], [&format!("rank 1 on machine-1: {own}"); 2]);
}

#[test]
fn batches_that_are_not_finite_are_left_out_in_all_ranks() {
    let end = |workers: &Workers| {
        let mut start = Trainer::new(&text(), config(8, 9), 1).unwrap().checkpoint().clone();
        start.parameters.projection_mut().w.fill(f32::MAX);
        start.parameters.projection_mut().b.fill(f32::MAX);
        let mut trainer = Trainer::from_checkpoint(start, &text(), workers).unwrap();
        let error = trainer.next().unwrap().unwrap_err();
        assert!(matches!(error, Error::NotFinite { step: 1, .. }), "{error}");
        trainer.skip_batch();
        trainer.next().unwrap().unwrap_err();
        trainer.gather_state();
        trainer.checkpoint().clone()
    };
    assert!(led(3, 1, end) == end(&1.into()));
}

#[test]
fn what_is_chosen_for_a_time_gives_every_rank_rows() {
    let small = |config: TrainConfig| config.into_builder().hidden(4).unroll(8).build().unwrap();
    let train = |ranks| {
        led(ranks, 1, |workers| {
            let config = Choice::new(&text(), 1e-3, workers, small).unwrap().config;
            Plan::new(&text(), &config, workers).unwrap();
            let mut trainer = Trainer::new(&text(), config, workers).unwrap();
            trainer.next().unwrap().unwrap();
        });
    };
    // Side by side, since a plan takes two seconds however many are made.
    thread::scope(|scope| {
        for ranks in [2, 5] {
            scope.spawn(move || train(ranks));
        }
    });
}

#[test]
fn all_ranks_learn_in_the_same_step_that_one_was_asked_to_stop() {
    for asked in 0..4 {
        let heard = on_ranks(4, |ranks| {
            let workers = Workers { threads: 1, ranks };
            let rank = workers.ranks.rank();
            if rank == asked {
                workers.ranks.ask_to_stop(15);
            }
            if rank == 0 {
                let mut trainer = Trainer::new(&text(), config(8, 9), &workers).unwrap();
                trainer.next().unwrap().unwrap();
                workers.dismiss();
            } else {
                workers.follow(text());
            }
            workers.ranks.asked_to_stop()
        });
        assert_eq!(heard, [Some(15); 4], "rank {asked}");
    }
}

#[test]
fn a_validation_ends_in_all_ranks_when_one_is_asked_to_stop() {
    let validations = on_ranks(3, |ranks| {
        let workers = Workers { threads: 1, ranks };
        if workers.ranks.rank() == 2 {
            workers.ranks.ask_to_stop(15);
        }
        if workers.ranks.rank() != 0 {
            workers.follow(text());
            return None;
        }
        let mut trainer = Trainer::new(&text(), config(8, 9), &workers).unwrap();
        let validation = trainer.validate();
        trainer.next().unwrap().unwrap(); // they are ready for it
        workers.dismiss();
        Some(validation)
    });
    assert_eq!(validations, [Some(None), None, None], "it has two batches");
}

#[test]
fn every_group_has_one_rank_and_is_in_one_run_that_is_a_branch_of_the_tree() {
    for groups in 1..=40 {
        for ranks in 1..=groups {
            let shares = Shares::new(groups, ranks).unwrap();
            let mut next = 0;
            for rank in 0..ranks {
                let share = shares.of(rank);
                assert_eq!(share.start, next);
                assert!([groups / ranks, groups.div_ceil(ranks)].contains(&share.len()));
                for run in shares.runs(rank) {
                    assert_eq!(run.start, next);
                    let is_branch = run.len().is_power_of_two() && run.start % run.len() == 0;
                    assert!(is_branch || run == (0..groups), "{run:?} of {groups}");
                    next = run.end;
                }
                assert_eq!(share.end, next);
            }
            assert_eq!(next, groups);
        }
    }
    assert!(Shares::new(3, 0).is_err());
}

#[test]
fn what_rank_0_says_is_heard_by_all_and_nobody_goes_on_alone() {
    let here = std::sync::atomic::AtomicUsize::new(0);
    let heard = on_ranks(4, |ranks| {
        let own = if ranks.rank() == 0 { b"over there".to_vec() } else { Vec::new() };
        let heard = ranks.broadcast_all(own);
        here.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        ranks.texts_of_all("here");
        assert_eq!(here.load(std::sync::atomic::Ordering::SeqCst), 4);
        heard
    });
    assert!(heard.iter().all(|heard| heard == b"over there"));
}

/// A wire that notes how long the messages are which go out.
#[derive(Debug)]
struct Noted {
    wire: Wire,
    sent: Arc<Mutex<Vec<usize>>>,
}

impl Collective for Noted {
    fn rank(&self) -> usize {
        self.wire.rank()
    }

    fn count(&self) -> usize {
        self.wire.count()
    }

    fn machine(&self) -> String {
        self.wire.machine()
    }

    fn exchange(&self, send: &[Message<&[u8]>], receive: &mut [Message<&mut [u8]>]) {
        self.sent.lock().unwrap().extend(send.iter().map(|(_, bytes)| bytes.len()));
        self.wire.exchange(send, receive);
    }
}

/// So a start takes no longer with more ranks, and none of them waits in silence.
#[test]
fn what_rank_0_says_is_passed_on_in_pieces_and_by_nobody_more_than_twice() {
    let long: Vec<u8> = (0..=250).cycle().take((17 << 20) + 3).collect();
    on_wires(6, 1, |wire| {
        let sent = Arc::default();
        let ranks = Ranks::over(Noted { wire, sent: Arc::clone(&sent) });
        sent.lock().unwrap().clear();
        let own = if ranks.rank() == 0 { long.clone() } else { Vec::new() };
        assert!(ranks.broadcast_all(own) == long);
        let sent = sent.lock().unwrap();
        assert!(sent.iter().all(|&bytes| bytes <= 16 << 20), "{sent:?}");
        assert!(sent.iter().sum::<usize>() <= 2 * (long.len() + 8), "{sent:?}");
    });
}

#[test]
fn ranks_on_one_machine_share_its_cores_and_its_memory() {
    let cores = thread_count(None).unwrap();
    let shared = on_machines(3, 2, |ranks| {
        let asked = thread_count_in(Some(5), &ranks).unwrap();
        (ranks.on_this_machine(), thread_count_in(None, &ranks).unwrap(), asked)
    });
    let half = (cores / 2).max(1);
    assert_eq!(shared, [(2, half, 5), (2, half, 5), (1, cores, 5)]);
    let huge = TrainConfig::builder().hidden(1 << 18).layers(9).batch(8).groups(2).build().unwrap();
    let needed = |ranks: Ranks| {
        let workers = Workers { threads: 1, ranks };
        let memory = Memory::of(&huge, &text(), 7, &workers).unwrap();
        match memory.require(&huge).unwrap_err() {
            Error::NoMemory { needed, what, .. } => (needed, what.contains("in 2 ranks")),
            error => panic!("{error}"),
        }
    };
    let (apart, together) = (on_machines(2, 1, needed), on_machines(2, 2, needed));
    assert_eq!(together, apart.iter().map(|(needed, _)| (2 * needed, true)).collect::<Vec<_>>());
}
