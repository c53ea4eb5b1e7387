//! Memory in the kernels' order: aligned to cache lines, B cut into panels.

use half::{bf16, f16};
use ndarray::{ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

use super::kernel::Kernel;
use super::stored::{Storage, Stored, column_scale};

/// Whole cache lines of any type of number: what a [`Vec`] of them is aligned to.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line<R>([R; LINE]);

/// Numbers in a [`Line`]: one cache line of `i8`, two of 16 bits, four of `f32`.
const LINE: usize = 64;
/// Numbers between panels, half a cache line of `i8`, one of 16 bits, two of `f32`: at a power of two from each
/// other, panels that are read or written at once, row by row, would fall on the same set of the first-level cache.
const GAP: usize = 32;

/// A buffer that starts at a cache line.
#[derive(Clone, Debug, Default)]
pub(super) struct Aligned<R> {
    lines: Vec<Line<R>>,
}

impl<R: Copy + Default> Aligned<R> {
    /// No memory yet.
    pub(super) const fn new() -> Self {
        Self { lines: Vec::new() }
    }

    /// Room for `len` numbers, all zero.
    fn of(len: usize) -> Self {
        let mut room = Self::new();
        room.grow(len);
        room
    }

    /// Makes room for `len` numbers at least, the new ones all zero; never shrinks.
    pub(super) fn grow(&mut self, len: usize) {
        if self.lines.len() * LINE < len {
            self.lines.resize(len.div_ceil(LINE), Line([R::default(); LINE]));
        }
    }

    /// The whole buffer.
    pub(super) fn as_slice(&self) -> &[R] {
        const { assert!(size_of::<Line<R>>() == LINE * size_of::<R>()) };
        // SAFETY: a `Line` is so many numbers and no padding, as just asserted.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * LINE) }
    }

    /// The whole buffer.
    pub(super) fn as_mut_slice(&mut self) -> &mut [R] {
        const { assert!(size_of::<Line<R>>() == LINE * size_of::<R>()) };
        // SAFETY: see `as_slice`.
        unsafe {
            std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * LINE)
        }
    }
}

/// A right operand B [K, N], laid out once for the kernels and then shared by all shards and time steps.
///
/// The columns are cut into panels as wide as a register tile; a panel holds its K rows one after
/// the other, so that a kernel reads it from front to back. What the last panel has beyond N columns means nothing.
#[derive(Clone, Debug)]
pub struct Packed {
    panels: Panels,
    rows: usize,
    columns: usize,
    kernel: &'static Kernel,
}

/// Panel after panel, each [K, width] and a gap, in the type that was chosen for them.
#[derive(Clone, Debug)]
pub(super) enum Panels {
    F32(Aligned<f32>),
    F16(Aligned<f16>),
    Bf16(Aligned<bf16>),
    /// And the scale of each column.
    I8(Aligned<i8>, Aligned<f32>),
}

impl Packed {
    /// Room for a right operand [k, n], all zero, its numbers stored in `storage`. Panics if no memory could ever hold
    /// so many.
    pub fn zeros(k: usize, n: usize, storage: Storage) -> Self {
        Self::zeros_for(Kernel::best(), k, n, storage)
    }

    /// [`Packed::zeros`] for a kernel other than the best, which this processor must be able to run: products with
    /// it use that kernel.
    pub fn zeros_for(kernel: &'static Kernel, k: usize, n: usize, storage: Storage) -> Self {
        assert!(kernel.is_available(), "no {} on this processor", kernel.name());
        let stride = k.checked_mul(kernel.panel).and_then(|panel| panel.checked_add(GAP));
        let numbers = stride.and_then(|stride| stride.checked_mul(n.div_ceil(kernel.panel)));
        let numbers = numbers.unwrap_or_else(|| panic!("[{k}, {n}] is more than memory can hold"));
        let panels = match storage {
            Storage::F32 => Panels::F32(Aligned::of(numbers)),
            Storage::F16 => Panels::F16(Aligned::of(numbers)),
            Storage::Bf16 => Panels::Bf16(Aligned::of(numbers)),
            Storage::I8 => {
                Panels::I8(Aligned::of(numbers), Aligned::of(n.next_multiple_of(kernel.panel)))
            }
        };
        Self { panels, rows: k, columns: n, kernel }
    }

    /// Lays out `b` [K, N], rounded to what it is stored in; any strides, so a transposed view is packed
    /// without a copy between.
    pub fn pack(&mut self, b: ArrayView2<f32>) {
        assert_eq!(b.dim(), (self.rows, self.columns), "the shape to pack");
        if b.is_empty() {
            return;
        }
        let (kernel, stride) = (self.kernel, self.panel_stride());
        match &mut self.panels {
            Panels::F32(panels) => lay_out(panels, stride, kernel, b),
            Panels::F16(panels) => lay_out(panels, stride, kernel, b),
            Panels::Bf16(panels) => lay_out(panels, stride, kernel, b),
            Panels::I8(panels, scales) => lay_out_scaled(panels, scales, stride, kernel, b),
        }
    }

    /// K.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// N.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The kernel that the layout is made for.
    pub fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    pub(super) fn panels(&self) -> &Panels {
        &self.panels
    }

    /// The scale of each column, where the numbers are stored with scales; to be read nowhere else.
    pub(super) fn scales(&self) -> *const f32 {
        match &self.panels {
            Panels::I8(_, scales) => scales.as_slice().as_ptr(),
            _ => std::ptr::null(),
        }
    }

    /// Numbers from the start of a panel to the start of the next.
    pub(super) fn panel_stride(&self) -> usize {
        panel_stride(self.kernel, self.rows)
    }
}

/// Numbers from the start of a panel of `depth` rows to the start of the next.
pub(super) fn panel_stride(kernel: &Kernel, depth: usize) -> usize {
    depth * kernel.panel + GAP
}

/// Fills the panels with `b`. Parallel in a pool: panels are apart in memory, and there are dozens of them. Elsewhere
/// a network is laid out once, in milliseconds, which is no reason to start a pool.
fn lay_out<W: Stored + Default>(
    panels: &mut Aligned<W>,
    stride: usize,
    kernel: &'static Kernel,
    b: ArrayView2<f32>,
) {
    let width = kernel.panel;
    let (panels, parts) = (panels.as_mut_slice(), b.axis_chunks_iter(Axis(1), width));
    let fill = |(panel, b)| fill_panel(panel, width, kernel.lanes, b);
    match rayon::current_thread_index() {
        Some(_) => panels.par_chunks_exact_mut(stride).zip(parts).for_each(fill),
        None => panels.chunks_exact_mut(stride).zip(parts).for_each(fill),
    }
}

/// [`lay_out`] for numbers with a scale for each column. By one thread: no network is trained with them.
fn lay_out_scaled(
    panels: &mut Aligned<i8>,
    scales: &mut Aligned<f32>,
    stride: usize,
    kernel: &'static Kernel,
    b: ArrayView2<f32>,
) {
    let width = kernel.panel;
    let panels = panels.as_mut_slice().chunks_exact_mut(stride);
    let scales = scales.as_mut_slice().chunks_exact_mut(width);
    for ((panel, scales), b) in panels.zip(scales).zip(b.axis_chunks_iter(Axis(1), width)) {
        let scales = &mut scales[..b.ncols()];
        for (scale, column) in scales.iter_mut().zip(b.columns()) {
            *scale = column_scale(column);
        }
        let scaled = &b / &ArrayView1::from(&*scales);
        fill_panel(panel, width, kernel.lanes, scaled.view());
    }
}

/// Fills one panel with its columns of B, `b` [K, width or fewer].
fn fill_panel<W: Stored>(panel: &mut [W], width: usize, lanes: usize, b: ArrayView2<f32>) {
    let panel = &mut panel[..b.nrows() * width];
    if b.strides()[1] == 1 || b.ncols() == 1 {
        for (to, from) in panel.chunks_exact_mut(width).zip(b.rows()) {
            let from = from.as_slice().expect("unit stride");
            for (to, &from) in to.iter_mut().zip(from) {
                *to = W::round(from);
            }
        }
    } else {
        transpose_into(panel, width, b);
    }
    W::arrange(panel, lanes);
}

/// Copies a panel whose columns are contiguous rather than its rows: some rows at a time, so that
/// both the reading and the writing stay within a few cache lines.
#[inline(never)] // inlined it was compiled to 540 instead of 390 µs for 512x2048 transposed
fn transpose_into<W: Stored>(panel: &mut [W], width: usize, b: ArrayView2<f32>) {
    const AT_ONCE: usize = 16;
    for (block, rows) in panel.chunks_mut(AT_ONCE * width).zip((0..b.nrows()).step_by(AT_ONCE)) {
        let end = b.nrows().min(rows + AT_ONCE);
        for (n, column) in b.slice(s![rows..end, ..]).columns().into_iter().enumerate() {
            for (to, &from) in block[n..].iter_mut().step_by(width).zip(column) {
                *to = W::round(from);
            }
        }
    }
}
