//! B1 to B22: given values on the right (the engine's own, for a single cell the reference's), the engine's value
//! on the left.
//!
//! What the cell computes between dh and dz (B7 to B12) leaves no trace of its own; there the other
//! factors of what does leave one are set to numbers that make it visible, as at o = ½, where
//! dz_o = do/4 whatever else may be wrong.

use karenina::layers::lstm::{self, Carry, LstmTape, PackedLstm};
use karenina::layers::{cell, loss, projection};
use karenina::math::matmul::Element;
use karenina::math::stopwatch::Stopwatch;
use karenina::math::team::Team;
use ndarray::{Array1, Array2, Array3, Array4, Axis, indices, s};

use crate::equations::case::{Engine, F, G, I, O, Problem};
use crate::equations::compare::{assert_close, assert_equal};
use crate::equations::reference::{self, mask};

#[test]
fn eq_b1_logits() {
    let problem = Problem::shared();
    let engine = Engine::run(&problem);
    let (unroll, batch) = problem.positions();
    let dlogits = Array3::from_shape_fn(engine.p.dim(), |(t, row, v)| {
        let one_hot = if problem.targets[[t, row]] as usize == v { 1.0 } else { 0.0 };
        (engine.p[[t, row, v]] - one_hot) / (unroll * batch) as f64
    });
    assert_equal("dlogits", &dlogits, &engine.dlogits);
    let mut alone = [0.2, 0.5, 0.3];
    loss::backward(&mut alone, 1, 0.1);
    assert_close("one row", &[0.02, -0.05, 0.03], &alone);
}

#[test]
fn eq_b2_projection_weight() {
    let engine = Engine::run(&Problem::shared());
    let y = &engine.layers[1].y;
    let dw = Array2::from_shape_fn((19, 21), |(k, v)| {
        indices((4, 3))
            .into_iter()
            .map(|(t, row)| y[[t, row, k]] * engine.dlogits[[t, row, v]])
            .sum()
    });
    assert_equal("dW", &dw, &engine.gradients.projection().w.to_owned());
}

#[test]
fn eq_b3_projection_bias() {
    let engine = Engine::run(&Problem::shared());
    let db = Array1::from_shape_fn(21, |v| {
        indices((4, 3)).into_iter().map(|(t, row)| engine.dlogits[[t, row, v]]).sum()
    });
    assert_equal("db", &db, &engine.gradients.projection().b.to_owned());
}

#[test]
fn eq_b4_output_of_the_last_layer() {
    let problem = Problem::shared();
    let w = problem.parameters.projection().w;
    let dlogits = Engine::run(&problem).dlogits.into_shape_with_order((12, 21)).unwrap();
    let mut w_transposed = f64::packed(21, 19);
    f64::pack(&mut w_transposed, w.t());
    let mut engines = Array2::from_elem((12, 19), f64::NAN);
    projection::backward(dlogits.view(), &w_transposed, engines.view_mut(), &mut Team::new(2));
    let dy = Array2::from_shape_fn((12, 19), |(n, k)| {
        (0..21).map(|v| dlogits[[n, v]] * w[[k, v]]).sum()
    });
    assert_equal("dy", &dy, &engines);
}

#[test]
fn eq_b5_dropout() {
    let dropout = Problem::shared().dropout;
    // More units than one block of masks, which has 64.
    let dy: Vec<f64> = (0..150).map(|k| (k as f64 * 0.9).cos()).collect();
    for (layer, position) in [(0, 0), (1, 7), (1, 11)] {
        let mut dh = dy.clone();
        dropout.unwrap().apply(layer, position, &mut dh);
        let mask = mask(dropout, layer, position, 150);
        let expected: Vec<f64> = mask.iter().zip(&dy).map(|(m, dy)| m * dy).collect();
        assert_close("dh", &expected, &dh);
    }
}

/// A layer's backward pass by itself, on the engine's forward values and any dy.
struct Layer {
    /// Where the layer is `first` the share of dc that came through h, dh·o·(1 − tanh² c); otherwise dx: [T, B, H].
    left_behind: Array3<f64>,
    dz: Array4<f64>,
    carry: Carry<f64>,
}

/// What arrives at the layer's outputs from above: [T, B, H].
fn some_dy() -> Array3<f64> {
    Array3::from_shape_fn((4, 3, 19), |(t, row, k)| ((t * 57 + row * 19 + k) as f64 * 0.37).sin())
}

/// Runs `lstm::backward` on layer 1. Packed as a `first` layer it makes no dx, which would overwrite
/// what is left of dh.
fn layer_backward(problem: &Problem, first: bool) -> Layer {
    let engine = Engine::run(problem);
    let mut packed = PackedLstm::zeros(19, first, |k, n| f64::packed(n, k));
    packed.pack(problem.parameters.lstm(1).transposed());
    let layer = &engine.layers[1];
    let mut tape = LstmTape::zeros(4, 3, 19, false);
    tape.gates.assign(&layer.gates.view().into_shape_with_order((4, 3, 76)).unwrap());
    tape.c.assign(&layer.c);
    tape.h.assign(&layer.h);
    let (mut dy, mut carry) = (some_dy(), Carry::zeros(3, 19));
    let (team, watch) = (&mut Team::new(1), &mut Stopwatch::default());
    lstm::backward(&mut tape, &mut dy, &mut carry, &packed, team, watch);
    Layer { left_behind: dy, dz: crate::equations::reference::by_gate(tape.dz), carry }
}

/// (dz_t·W_hhᵀ) of layer 1 at unit k.
fn through_w_hh(problem: &Problem, dz: &Array4<f64>, [t, row, k]: [usize; 3]) -> f64 {
    let w_hh = problem.parameters.lstm(1).w_hh;
    let columns = indices((4, 19)).into_iter();
    columns.map(|(q, j)| dz[[t, row, q, j]] * w_hh[[k, q * 19 + j]]).sum()
}

#[test]
fn eq_b6_output() {
    let problem = Problem::shared();
    let (engine, tape) = (layer_backward(&problem, true), &Engine::run(&problem).layers[1]);
    let above = some_dy();
    let through_h = Array3::from_shape_fn((4, 3, 19), |(t, row, k)| {
        let after = if t == 3 { 0.0 } else { through_w_hh(&problem, &engine.dz, [t + 1, row, k]) };
        let (o, tanh_c) = (tape.gates[[t, row, O, k]], tape.c[[t + 1, row, k]].tanh());
        (above[[t, row, k]] + after) * o * (1.0 - tanh_c * tanh_c)
    });
    assert_equal("dh·o·(1 − tanh² c)", &through_h, &engine.left_behind);
}

/// One row of a cell before its backward step.
struct Cell {
    /// [4, H]
    gates: Array2<f64>,
    c_prev: Array1<f64>,
    c: Array1<f64>,
    dh: Array1<f64>,
    /// From the step after.
    dc: Array1<f64>,
}

impl Cell {
    /// Every row, step and layer of the shared problem.
    fn all() -> Vec<Self> {
        let problem = Problem::shared();
        let step = reference::run(&problem);
        let cells = indices((2, 4, 3)).into_iter().map(|(l, t, row)| {
            let layer = &step.layers[l];
            let at = |array: &Array3<f64>, t| array.slice(s![t, row, ..]).to_owned();
            Self {
                gates: layer.gates.slice(s![t, row, .., ..]).to_owned(),
                c_prev: at(&layer.c, t),
                c: at(&layer.c, t + 1),
                dh: at(&layer.dh, t),
                dc: if t == 3 { Array1::from_elem(19, 0.3) } else { at(&layer.dc_prev, t + 1) },
            }
        });
        cells.collect()
    }

    fn with_gate(mut self, q: usize, value: f64) -> Self {
        self.gates.row_mut(q).fill(value);
        self
    }

    /// The engine's dz [4, H] and dc_prev [H].
    fn backward(&self) -> (Array2<f64>, Array1<f64>) {
        self.backward_of(false)
    }

    /// The same of a cell with or without normalisation.
    fn backward_of(&self, cell_norm: bool) -> (Array2<f64>, Array1<f64>) {
        let (mut dz, mut dc) = (self.gates.clone(), self.dc.clone());
        cell::backward(
            dz.as_slice_mut().unwrap(),
            self.c_prev.as_slice().unwrap(),
            self.c.as_slice().unwrap(),
            self.dh.clone().as_slice_mut().unwrap(),
            dc.as_slice_mut().unwrap(),
            cell_norm,
        );
        (dz, dc)
    }
}

/// `right(cell, k)` for every unit of a row.
fn units(cell: &Cell, right: impl Fn(&Cell, usize) -> f64) -> Array1<f64> {
    Array1::from_shape_fn(cell.c.len(), |k| right(cell, k))
}

#[test]
fn eq_b7_output_gate() {
    for cell in Cell::all() {
        // dz_o = do·o(1 − o) = do/4
        let cell = cell.with_gate(O, 0.5);
        let d_o = units(&cell, |cell, k| cell.dh[k] * cell.c[k].tanh());
        assert_equal("do", &d_o, &(cell.backward().0.row(O).to_owned() * 4.0));
    }
}

#[test]
fn eq_b8_cell_state() {
    for cell in Cell::all() {
        // dc_prev = dc·f = dc
        let cell = cell.with_gate(F, 1.0);
        let dc = units(&cell, |cell, k| {
            cell.dc[k] + cell.dh[k] * cell.gates[[O, k]] * (1.0 - cell.c[k].tanh().powi(2))
        });
        assert_equal("dc", &dc, &cell.backward().1);
    }
}

/// By the whole matrix of derivatives, ∂ĉ_j/∂c_k = ([j = k] − c_j c_k / (H r²)) / r, which the engine never forms.
#[test]
fn eq_b22_cell_state_through_its_normalisation() {
    for cell in Cell::all() {
        // dc_prev = dc·f = dc
        let cell = cell.with_gate(F, 1.0);
        let hidden = cell.c.len() as f64;
        let r = (cell.c.iter().map(|c| c * c).sum::<f64>() / hidden + 1e-5).sqrt();
        let d_hat = units(&cell, |cell, k| {
            cell.dh[k] * cell.gates[[O, k]] * (1.0 - (cell.c[k] / r).tanh().powi(2))
        });
        let dc = units(&cell, |cell, k| {
            let through = |j: usize| {
                let same = if j == k { 1.0 } else { 0.0 };
                d_hat[j] * (same - cell.c[j] * cell.c[k] / (hidden * r * r)) / r
            };
            cell.dc[k] + (0..cell.c.len()).map(through).sum::<f64>()
        });
        assert_equal("dc", &dc, &cell.backward_of(true).1);
    }
}

/// With o = 0 nothing comes down through h, and dc is what the step after sent.
fn closed() -> impl Iterator<Item = Cell> {
    Cell::all().into_iter().map(|cell| cell.with_gate(O, 0.0))
}

#[test]
fn eq_b9_input_gate() {
    for cell in closed() {
        // dz_i = di·i(1 − i) = di/4
        let cell = cell.with_gate(I, 0.5);
        let d_i = units(&cell, |cell, k| cell.dc[k] * cell.gates[[G, k]]);
        assert_equal("di", &d_i, &(cell.backward().0.row(I).to_owned() * 4.0));
    }
}

#[test]
fn eq_b10_forget_gate() {
    for cell in closed() {
        // dz_f = df·f(1 − f) = df/4
        let cell = cell.with_gate(F, 0.5);
        let d_f = units(&cell, |cell, k| cell.dc[k] * cell.c_prev[k]);
        assert_equal("df", &d_f, &(cell.backward().0.row(F).to_owned() * 4.0));
    }
}

#[test]
fn eq_b11_candidate() {
    for cell in closed() {
        // dz_g = dg·(1 − g²) = dg
        let cell = cell.with_gate(G, 0.0);
        let d_g = units(&cell, |cell, k| cell.dc[k] * cell.gates[[I, k]]);
        assert_equal("dg", &d_g, &cell.backward().0.row(G));
    }
}

#[test]
fn eq_b12_cell_state_of_the_step_before() {
    for cell in closed() {
        let dc_prev = units(&cell, |cell, k| cell.dc[k] * cell.gates[[F, k]]);
        assert_equal("dc_prev", &dc_prev, &cell.backward().1);
    }
}

#[test]
fn eq_b13_input_gate_before_the_sigmoid() {
    for cell in closed() {
        // di = dc·g = dc
        let cell = cell.with_gate(G, 1.0);
        let dz = units(&cell, |cell, k| {
            let i = cell.gates[[I, k]];
            cell.dc[k] * i * (1.0 - i)
        });
        assert_equal("dz_i", &dz, &cell.backward().0.row(I));
    }
}

#[test]
fn eq_b14_forget_gate_before_the_sigmoid() {
    for mut cell in closed() {
        // df = dc·c_prev = dc
        cell.c_prev.fill(1.0);
        let dz = units(&cell, |cell, k| {
            let f = cell.gates[[F, k]];
            cell.dc[k] * f * (1.0 - f)
        });
        assert_equal("dz_f", &dz, &cell.backward().0.row(F));
    }
}

#[test]
fn eq_b15_candidate_before_the_tanh() {
    for cell in closed() {
        // dg = dc·i = dc
        let cell = cell.with_gate(I, 1.0);
        let dz = units(&cell, |cell, k| cell.dc[k] * (1.0 - cell.gates[[G, k]].powi(2)));
        assert_equal("dz_g", &dz, &cell.backward().0.row(G));
    }
}

#[test]
fn eq_b16_output_gate_before_the_sigmoid() {
    for mut cell in Cell::all() {
        // do = dh·tanh c = dh, for tanh 30 is 1 in f64
        cell.c.fill(30.0);
        let dz = units(&cell, |cell, k| {
            let o = cell.gates[[O, k]];
            cell.dh[k] * o * (1.0 - o)
        });
        assert_equal("dz_o", &dz, &cell.backward().0.row(O));
    }
}

/// All of B4 to B16 in the whole network: the engine's dz at every gate, step and row.
#[test]
fn eq_b16_and_all_before_it_in_the_network() {
    let problem = Problem::shared();
    let (step, engine) = (reference::run(&problem), Engine::run(&problem));
    for (reference, engine) in step.layers.iter().zip(&engine.layers) {
        for q in [I, F, G, O] {
            let dz = reference.dz.index_axis(Axis(2), q);
            assert_equal("dz", &dz, &engine.dz.index_axis(Axis(2), q));
        }
    }
}

#[test]
fn eq_b17_bias() {
    let engine = Engine::run(&Problem::shared());
    for (l, layer) in engine.layers.iter().enumerate() {
        let gradient = engine.gradients.lstm(l);
        let of_step =
            |t: usize, n: usize| (0..3).map(|row| layer.dz[[t, row, n / 19, n % 19]]).sum::<f64>();
        let db = Array1::from_shape_fn(76, |n| (0..4).map(|t| of_step(t, n)).sum());
        assert_equal("db", &db, &gradient.b.to_owned());
    }
}

/// Σ over t and rows of left[t, row, m]·dz[t, row, n]: [M, 4H].
fn outer_products(
    left: impl Fn(usize, usize, usize) -> f64,
    rows: usize,
    dz: &Array4<f64>,
) -> Array2<f64> {
    Array2::from_shape_fn((rows, 76), |(m, n)| {
        let positions = indices((4, 3)).into_iter();
        positions.map(|(t, row)| left(t, row, m) * dz[[t, row, n / 19, n % 19]]).sum()
    })
}

#[test]
fn eq_b18_recurrent_weight() {
    let engine = Engine::run(&Problem::shared());
    for (l, layer) in engine.layers.iter().enumerate() {
        let gradient = engine.gradients.lstm(l);
        // The first T of the T+1 rows of h are h_0 … h_{T−1}.
        let dw = outer_products(|t, row, j| layer.h[[t, row, j]], 19, &layer.dz);
        assert_equal("dW_hh", &dw, &gradient.w_hh.to_owned());
    }
}

#[test]
fn eq_b19_input_weight() {
    let problem = Problem::shared();
    let engine = Engine::run(&problem);
    let one_hot = |t, row, v| if problem.inputs[[t, row]] as usize == v { 1.0 } else { 0.0 };
    let dw = outer_products(one_hot, 21, &engine.layers[0].dz);
    assert_equal("dW_ih of the first layer", &dw, &engine.gradients.lstm(0).w_ih.to_owned());
    let below = &engine.layers[0].y;
    let dw = outer_products(|t, row, d| below[[t, row, d]], 19, &engine.layers[1].dz);
    assert_equal("dW_ih of the second layer", &dw, &engine.gradients.lstm(1).w_ih.to_owned());
}

#[test]
fn eq_b20_input() {
    let problem = Problem::shared();
    let w_ih = problem.parameters.lstm(1).w_ih;
    let engine = layer_backward(&problem, false);
    let dx = Array3::from_shape_fn((4, 3, 19), |(t, row, d)| {
        let columns = indices((4, 19)).into_iter();
        columns.map(|(q, k)| engine.dz[[t, row, q, k]] * w_ih[[d, q * 19 + k]]).sum()
    });
    assert_equal("dx", &dx, &engine.left_behind);
}

#[test]
fn eq_b21_state_before_the_first_step() {
    let problem = Problem::shared();
    let alone = layer_backward(&problem, true);
    let dh_0 =
        Array2::from_shape_fn((3, 19), |(row, k)| through_w_hh(&problem, &alone.dz, [0, row, k]));
    assert_equal("dh_0 of one layer", &dh_0, &alone.carry.dh);

    let (step, engine) = (reference::run(&problem), Engine::run(&problem));
    for (l, layer) in step.layers.iter().enumerate() {
        assert_equal("dh_0", &layer.dh_0, &engine.state_gradient.h[l]);
        // dc_0 = dc_1·f_1
        let dc_0 = Array2::from_shape_fn((3, 19), |(row, k)| {
            layer.dc[[0, row, k]] * engine.layers[l].gates[[0, row, F, k]]
        });
        assert_equal("dc_0", &dc_0, &engine.state_gradient.c[l]);
    }
}
