//! A copy of the reference that makes a mistake, run on the tests' problems.
//!
//! Each copy has types of its own; they differ from the reference's in nothing but their path. So all that is
//! here moves numbers from fields into fields of the same name.

/// One training step of `$problem` by `$mutant`, a module of `karenina_mutants`.
macro_rules! run_mutant {
    ($mutant:ident, $problem:expr) => {{
        use karenina::reference as right;
        use karenina_mutants::$mutant as wrong;

        let problem: &$crate::equations::case::Problem = $problem;
        let mut run = $crate::equations::reference::Run::new(problem);
        let mut weights = weights!(run.weights.clone(), wrong);
        let adam = run.adam.clone();
        let mut adam = same!(adam, wrong::Adam { learning_rate, beta1, beta2, epsilon, weight_decay, updates;
            m: weights!(adam.m, wrong), v: weights!(adam.v, wrong) });
        let state = run.state.clone();
        let mut state = same!(state, wrong::State { h, c; });
        let batch = run.batch.clone();
        let batch = same!(batch, wrong::Batch { inputs, targets; });
        let dropout = run.dropout.map(|d| same!(d, wrong::Dropout { keep, seed, step; }));
        let step = wrong::training_step(
            &mut weights, &mut adam, &mut state, &batch, dropout, problem.limit,
        );
        run.weights = weights!(weights, right);
        (run.adam.m, run.adam.v) = (weights!(adam.m, right), weights!(adam.v, right));
        run.state = same!(state, right::State { h, c; });
        let (forward, backward) = (step.forward, step.backward);
        let step = right::Step {
            forward: right::Forward {
                loss: forward.loss,
                positions: each!(forward.positions, rows => each!(rows, position => {
                    same!(position, right::Position { logits, p, loss; layers: each!(position.layers, l => {
                        same!(l, right::Cells { x, h_prev, c_prev, z, i, f, g, o, c, c_hat, h, mask, y; })
                    }) })
                })),
            },
            backward: right::Backward {
                dw: weights!(backward.dw, right),
                d_state: same!(backward.d_state, right::State { h, c; }),
                positions: each!(backward.positions, rows => each!(rows, position => {
                    same!(position, right::PositionGradient { dlogits; layers: each!(position.layers, l => {
                        same!(l, right::CellsGradient {
                            dy, dh_above, dh, d_o, dc, d_i, d_f, d_g, dz, dx, dh_prev, dc_prev;
                        })
                    }) })
                })),
            },
            norm: step.norm,
            clipped: weights!(step.clipped, right),
        };
        run.arrays(problem, step)
    }};
}

/// A `$struct` whose fields are those of `$from`, and some others.
macro_rules! same {
    ($from:expr, $module:ident::$name:ident { $($field:ident),*; $($other:ident: $value:expr),* }) => {
        $module::$name { $($field: $from.$field,)* $($other: $value),* }
    };
}

/// A plain loop, as `map` and `collect` would be compiled some 400 times.
macro_rules! each {
    ($all:expr, $one:ident => $new:expr) => {{
        let mut all = Vec::new();
        for $one in $all {
            all.push($new);
        }
        all
    }};
}

macro_rules! weights {
    ($weights:expr, $module:ident) => {{
        let weights = $weights;
        same!(weights, $module::Weights { w, b, cell_norm; layers: each!(weights.layers, l => {
            same!(l, $module::Layer { w_ih, w_hh, b; })
        }) })
    }};
}

pub(crate) use {each, run_mutant, same, weights};
