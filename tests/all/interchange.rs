//! Models to PyTorch and back, and safetensors files by whoever made them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use crate::support::tiny;
use karenina::error::{Error, Result};
use karenina::model::Parameters;
use karenina::train::TrainConfig;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::interchange::{self, Precision};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use safetensors::{Dtype, SafeTensors, View};
use serde_json::{Value, json};

/// A tensor that a test writes.
#[derive(Clone)]
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        (&self.bytes).into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn f32s(shape: &[usize], numbers: impl IntoIterator<Item = f32>) -> Tensor {
    let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
    assert_eq!(bytes.len(), 4 * shape.iter().product::<usize>());
    Tensor { dtype: Dtype::F32, shape: shape.into(), bytes }
}

fn f64s(shape: &[usize], numbers: impl IntoIterator<Item = f64>) -> Tensor {
    let bytes: Vec<u8> = numbers.into_iter().flat_map(f64::to_le_bytes).collect();
    assert_eq!(bytes.len(), 8 * shape.iter().product::<usize>());
    Tensor { dtype: Dtype::F64, shape: shape.into(), bytes }
}

type Tensors = BTreeMap<&'static str, Tensor>;

/// One cell that predicts three characters: V = 3, H = 1, L = 1. Every number tells its place.
fn pytorch() -> Tensors {
    BTreeMap::from([
        ("lstm.weight_ih_l0", f32s(&[4, 3], (0..12).map(|n| n as f32))),
        ("lstm.weight_hh_l0", f32s(&[4, 1], [20.0, 21.0, 22.0, 23.0])),
        ("lstm.bias_ih_l0", f32s(&[4], [30.0, 31.0, 32.0, 33.0])),
        ("lstm.bias_hh_l0", f32s(&[4], [0.5, 0.25, 0.125, 0.0625])),
        ("decoder.weight", f32s(&[3, 1], [40.0, 41.0, 42.0])),
        ("decoder.bias", f32s(&[3], [50.0, 51.0, 52.0])),
    ])
}

/// The file of these tensors, with this JSON under the key `karenina`.
fn file(tensors: Tensors, card: Option<Value>) -> Vec<u8> {
    let entry = |card: Value| [("karenina".to_string(), card.to_string())].into_iter().collect();
    safetensors::serialize(tensors, card.map(entry)).unwrap()
}

fn import(bytes: &[u8], vocabulary: Option<&str>) -> Result<Checkpoint> {
    interchange::import(Path::new("model.safetensors"), bytes, vocabulary)
}

/// The reason why `bytes` are refused, in one short sentence.
#[track_caller]
fn reason(bytes: &[u8], vocabulary: Option<&str>) -> String {
    match import(bytes, vocabulary) {
        Err(Error::Checkpoint { reason, .. }) => {
            assert!(!reason.contains('\n') && reason.len() < 700, "{reason}");
            reason
        }
        Err(error) => panic!("another kind of error: {error}"),
        Ok(_) => panic!("it was accepted"),
    }
}

/// What an import of an export of `checkpoint` must be.
fn without_a_run(checkpoint: Checkpoint) -> Checkpoint {
    let Checkpoint { config, vocabulary, parameters, .. } = checkpoint;
    Checkpoint::without_history(config, vocabulary, parameters)
}

#[test]
fn an_exported_model_comes_back_the_same_in_either_precision() {
    for precision in [Precision::F32, Precision::F64] {
        let bytes = interchange::export(&tiny(), precision);
        let back = import(&bytes, None).unwrap();
        assert_eq!(back, without_a_run(tiny()), "{precision:?}");
        assert!(back.is_of_no_text() && back.step == 0);
        let folder = tempfile::tempdir().unwrap();
        back.save(&folder.path().join(back.file_name())).unwrap();
    }
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let export = || interchange::export(&tiny(), Precision::F32);
    assert_eq!(export(), export());
}

#[test]
fn an_export_has_pytorchs_names_shapes_and_layout() {
    let checkpoint = tiny();
    let bytes = interchange::export(&checkpoint, Precision::F64);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (v, h) = (3, 2);
    let mut expected = BTreeMap::from([
        ("decoder.weight".to_string(), vec![v, h]),
        ("decoder.bias".to_string(), vec![v]),
    ]);
    for (l, d) in [(0, v), (1, h)] {
        expected.insert(format!("lstm.weight_ih_l{l}"), vec![4 * h, d]);
        expected.insert(format!("lstm.weight_hh_l{l}"), vec![4 * h, h]);
        expected.insert(format!("lstm.bias_ih_l{l}"), vec![4 * h]);
        expected.insert(format!("lstm.bias_hh_l{l}"), vec![4 * h]);
    }
    let found: BTreeMap<_, _> =
        file.iter().map(|(name, tensor)| (name.to_string(), tensor.shape().to_vec())).collect();
    assert_eq!(found, expected);

    let numbers = |name: &str| -> Vec<f64> {
        let data = file.tensor(name).unwrap();
        data.data().chunks(8).map(|x| f64::from_le_bytes(x.try_into().unwrap())).collect()
    };
    let w_ih = checkpoint.parameters.lstm(0).w_ih;
    for (at, found) in numbers("lstm.weight_ih_l0").into_iter().enumerate() {
        assert_eq!(found, f64::from(w_ih[(at % v, at / v)]), "row {}, column {}", at / v, at % v);
    }
    assert!(numbers("lstm.bias_hh_l1").iter().all(|x| *x == 0.0));
}

#[test]
fn pytorchs_tensors_are_read_transposed_and_the_biases_summed() {
    let parameters = import(&file(pytorch(), None), Some("abc")).unwrap().parameters;
    let lstm = parameters.lstm(0);
    for (gate, row) in lstm.w_ih.columns().into_iter().enumerate() {
        let first = 3.0 * gate as f32;
        assert_eq!(row.to_vec(), [first, first + 1.0, first + 2.0]);
    }
    assert_eq!(lstm.w_hh.row(0).to_vec(), [20.0, 21.0, 22.0, 23.0]);
    assert_eq!(lstm.b.to_vec(), [30.5, 31.25, 32.125, 33.0625]);
    assert_eq!(parameters.projection().w.row(0).to_vec(), [40.0, 41.0, 42.0]);
    assert_eq!(parameters.projection().b.to_vec(), [50.0, 51.0, 52.0]);
}

#[test]
fn biases_in_f64_are_rounded_once_after_their_sum() {
    let mut tensors = pytorch();
    // Each alone rounds to a number whose sum is 1 off in the last place.
    let tiny = f64::from(f32::EPSILON) * 0.3;
    tensors.insert("lstm.bias_ih_l0", f64s(&[4], [1.0 + tiny; 4]));
    tensors.insert("lstm.bias_hh_l0", f64s(&[4], [tiny; 4]));
    let parameters = import(&file(tensors, None), Some("abc")).unwrap().parameters;
    assert_eq!(parameters.lstm(0).b[0], 1.0 + f32::EPSILON);
}

/// The id that the file gives to each character of the imported model, and the characters.
fn ids(vocabulary: Option<&str>, card: Option<Value>) -> (Vec<f32>, String) {
    let model = import(&file(pytorch(), card), vocabulary).unwrap();
    let ids = model.parameters.projection().b.map(|b| b - 50.0).to_vec();
    assert_eq!(model.parameters.lstm(0).w_ih.column(0).to_vec(), ids);
    assert_eq!(model.parameters.projection().w.row(0).mapv(|w| w - 40.0).to_vec(), ids);
    (ids, model.vocabulary.characters().iter().collect())
}

#[test]
fn a_list_of_characters_gives_their_ids_and_a_text_ascending_ones() {
    let sorted = (vec![0.0, 1.0, 2.0], "abc".to_string());
    let listed = (vec![1.0, 2.0, 0.0], "abc".to_string());
    assert_eq!(ids(Some("abc"), None), sorted);
    assert_eq!(ids(Some("cab"), None), listed);
    assert_eq!(ids(Some("cab\n"), None), listed, "an editor ends the last line");
    assert_eq!(ids(Some("cab\r\n"), None), listed, "on Windows, too");
    assert_eq!(ids(Some("b\r\na"), None), (vec![1.0, 2.0, 0.0], "\nab".into()), "and in the list");
    assert_eq!(ids(Some("\u{feff}cab"), None), listed, "an editor marks its byte order");
    assert_eq!(ids(Some("cabcab"), None), sorted, "a text");
    assert_eq!(ids(Some("b\na"), None).1, "\nab", "a line end is a character");
    let ends = (vec![2.0, 1.0, 0.0], "\nac".to_string());
    assert_eq!(ids(Some("ca\n"), None), ends, "a line end is the last of the list");
    assert_eq!(ids(Some("ca\r\n"), None), ends, "on Windows, too");
    assert_eq!(ids(Some("\u{feff}ca\r\n"), None), ends, "with a mark, too");
    let marked = (vec![1.0, 2.0, 0.0], "ab\u{feff}".to_string());
    assert_eq!(ids(Some("\u{feff}ab"), None), marked, "the mark is one of the characters");
    assert_eq!(ids(Some("\u{feff}a\n\n"), None).1, "\na\u{feff}", "or of a text");
    assert_eq!(ids(Some("b\r\nb\r\na"), None).1, "\nab", "as training reads it");
}

#[test]
fn the_files_own_vocabulary_may_have_any_order_and_the_users_outranks_it() {
    let card = || Some(json!({"version": 1, "vocabulary": "zxy"}));
    assert_eq!(ids(None, card()), (vec![1.0, 2.0, 0.0], "xyz".to_string()));
    assert_eq!(ids(Some("abc"), card()).1, "abc");
}

#[test]
fn a_file_that_names_no_vocabulary_asks_for_one_that_fits() {
    let bytes = file(pytorch(), None);
    assert!(reason(&bytes, None).starts_with("it does not say which 3 characters it predicts"));
    assert_eq!(
        reason(&bytes, Some("abcd")),
        "it predicts 3 characters, but the vocabulary that is given has 4"
    );
}

#[test]
fn settings_that_the_file_leaves_out_are_the_articles() {
    let card = json!({"version": 1, "vocabulary": "abc", "configuration": {"batch": 7}});
    let config = import(&file(pytorch(), Some(card)), None).unwrap().config;
    let expected = TrainConfig::builder().hidden(1).layers(1).batch(7).groups(1);
    assert_eq!(config, expected.build().unwrap());
}

#[test]
fn gradients_are_exported_with_their_loss_and_are_no_model() {
    let gradients: Parameters<f64> = tiny().parameters.cast();
    let bytes = interchange::export_gradients(&gradients, 1.0 / 3.0, Precision::F64);
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let card: Value =
        serde_json::from_str(&metadata.metadata().as_ref().unwrap()["karenina"]).unwrap();
    assert_eq!(card["loss"].as_f64(), Some(1.0 / 3.0));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let bias = |name: &str| file.tensor(name).unwrap().data().to_vec();
    assert_eq!(bias("lstm.bias_hh_l1"), bias("lstm.bias_ih_l1"));
    assert_eq!(reason(&bytes, None), "it holds the gradients of a loss, not weights");
    let bytes = interchange::export_gradients(&gradients, f64::INFINITY, Precision::F64);
    assert_eq!(reason(&bytes, None), "it holds the gradients of a loss, not weights");
}

#[test]
fn each_tensor_that_is_missing_or_of_another_shape_is_named() {
    let names: Vec<_> = pytorch().into_keys().collect();
    for name in names {
        let mut tensors = pytorch();
        tensors.remove(name);
        let message = reason(&file(tensors, None), Some("abc"));
        assert!(message.starts_with(&format!("it has no tensor {name}; its tensors")), "{message}");

        let mut tensors = pytorch();
        tensors.get_mut(name).unwrap().shape.push(1);
        let message = reason(&file(tensors, None), Some("abc"));
        assert!(message.starts_with(name), "{message}");
    }
}

#[test]
fn a_model_that_is_built_in_another_way_is_refused() {
    let with = |name, tensor| {
        file([pytorch(), [(name, tensor)].into()].into_iter().flatten().collect(), None)
    };
    let one = || f32s(&[1], [1.0]);
    for name in ["encoder.weight", "lstm.weight_ih_l0_reverse", "lstm.weight_hr_l0", "x\n\u{1b}[2J"]
    {
        let message = reason(&with(name, one()), Some("abc"));
        assert!(message.starts_with(&format!("it has a tensor {name:?}, for which")), "{message}");
    }
    let half = Tensor { dtype: Dtype::F16, shape: vec![3], bytes: vec![0; 6] };
    let message = reason(&with("decoder.bias", half), Some("abc"));
    assert_eq!(message, "decoder.bias has numbers of the type F16; only F32 and F64 can be read");
    // The second layer's first tensor alone makes it a model of two layers.
    let message = reason(&with("lstm.weight_ih_l1", f32s(&[4, 1], [0.0; 4])), Some("abc"));
    assert!(message.starts_with("it has no tensor lstm.weight_hh_l1"), "{message}");
    let empty = f32s(&[0, 1 << 60], []);
    assert_eq!(reason(&with("decoder.weight", empty), Some("abc")), "decoder.weight is empty");
}

#[test]
fn numbers_that_are_not_finite_in_f32_are_refused() {
    let wrong: [(&str, Tensor); 4] = [
        ("decoder.bias", f32s(&[3], [0.0, f32::NAN, f32::INFINITY])),
        ("decoder.bias", f64s(&[3], [0.0, 1e39, -1e39])),
        ("lstm.bias_ih_l0", f32s(&[4], [f32::NAN, 0.0, 0.0, f32::INFINITY])),
        ("lstm.weight_hh_l0", f64s(&[4, 1], [f64::NAN, f64::MAX, 0.0, 0.0])),
    ];
    for (name, tensor) in wrong {
        let mut tensors = pytorch();
        tensors.insert(name, tensor);
        let message = reason(&file(tensors, None), Some("abc"));
        assert!(message.contains("would hold 2 values that are infinite"), "{message}");
    }
}

#[test]
fn each_lie_of_the_metadata_is_named() {
    let with = |field: &str, value: Value| {
        let mut card = json!({"version": 1, "vocabulary": "abc"});
        card[field] = value;
        reason(&file(pytorch(), Some(card)), None)
    };
    let configuration = |field: &str, value: Value| {
        with("configuration", Value::Object([(field.to_string(), value)].into_iter().collect()))
    };
    for (message, expected) in [
        (with("version", json!(3)), "made by a newer karenina: version 3, this program reads 2"),
        (with("version", json!("one")), "damaged: its metadata"),
        (with("version", json!(2)), "it is of a network with normalised cells, but"),
        (configuration("cell_norm", json!(true)), "it is of a network with normalised cells, but"),
        (with("vocabulary", json!("ab")), "damaged: its vocabulary does not have as many distinct"),
        (
            with("vocabulary", json!("aab")),
            "damaged: its vocabulary does not have as many distinct",
        ),
        (
            with("vocabulary", json!("abcd")),
            "damaged: its vocabulary does not have as many distinct",
        ),
        (with("vocabulary", json!(3)), "damaged: its metadata"),
        (
            with("sizes", json!({"vocabulary": 3, "hidden": 2, "layers": 1})),
            "damaged: its tensors have",
        ),
        (configuration("batch", json!(0)), "damaged: batch is 0"),
        (configuration("keep", json!(0)), "damaged: keep is 0"),
        (configuration("seed", json!(-1)), "damaged: its metadata"),
        (configuration("adam", json!(null)), "damaged: its metadata"),
    ] {
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn files_that_are_no_safetensors_are_refused() {
    let whole = interchange::export(&tiny(), Precision::F32);
    for length in 0..whole.len() {
        reason(&whole[..length], None);
    }
    reason(&[&whole[..], b"0"].concat(), None);
    let damaged = "not a safetensors file, or a damaged one";
    assert!(reason(&tiny().encode(), None).starts_with(damaged));
    assert!(reason(b"PK\x03\x04archive/data.pkl", None).starts_with(damaged));
    assert!(reason(&[0xff; 100], None).starts_with(damaged));
    assert!(reason(&[0; 100], None).starts_with(damaged));
    let deep = "[".repeat(100_000);
    let deep = [&(deep.len() as u64).to_le_bytes()[..], deep.as_bytes()].concat();
    assert!(reason(&deep, None).starts_with(damaged));
}

#[test]
#[cfg_attr(windows, ignore = "NTFS gives the holes of a file space")]
fn a_folder_and_a_huge_file_with_holes_are_refused_before_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| interchange::load(path, None).unwrap_err().to_string();
    assert!(message(folder.path()).contains("a folder where"));
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, interchange::export(&tiny(), Precision::F32)).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
    assert!(
        message(&path).contains("model.safetensors needs 16384.0 GiB of memory"),
        "{}",
        message(&path)
    );
}

#[test]
fn shapes_whose_product_overflows_are_refused() {
    let entry = r#"{"decoder.weight":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,0]}}"#;
    let bytes = [&(entry.len() as u64).to_le_bytes()[..], entry.as_bytes()].concat();
    assert!(reason(&bytes, None).contains("overflow"));
}

#[test]
fn a_mutant_is_refused_or_is_a_model_like_any_other() {
    let original = interchange::export(&tiny(), Precision::F32);
    let mut rng = Pcg64::seed_from_u64(0);
    let mut accepted = 0;
    for mutant in 0..10_000 {
        let mut bytes = original.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..3) {
                0 => bytes[at] ^= 1 << rng.random_range(0..8),
                1 => bytes[at] = *b"0123456789\"{}[],:-.e".get(rng.random_range(0..20)).unwrap(),
                _ => drop(bytes.drain(at..(at + rng.random_range(1..9)).min(bytes.len()))),
            }
        }
        if let Ok(model) = import(&bytes, None) {
            let again = Checkpoint::decode(Path::new("mutant"), &model.encode());
            assert_eq!(again.unwrap(), model, "mutant {mutant}");
            accepted += 1;
        }
    }
    assert!(accepted > 0 && accepted < 9_000, "{accepted}");
}

#[test]
fn a_batch_whose_state_would_be_too_large_is_left_behind() {
    for batch in [10_000_000, 42_000_000] {
        let card = json!({"version": 1, "vocabulary": "abc", "configuration": {"batch": batch, "seed": 7}});
        let model = import(&file(pytorch(), Some(card)), None).unwrap();
        assert_eq!((model.config.batch, model.config.seed), (1, 7));
        assert!(Checkpoint::decode(Path::new("it"), &model.encode()).is_ok());
    }
}
