//! Images of numbers: PNG with a palette, as a `data:` address.

use base64::prelude::{BASE64_STANDARD, Engine};
use ndarray::Array2;
use png::{ColorType, Encoder};

/// The palette at equal distances: viridis. Its lightness rises evenly, so it can be read without telling
/// colours apart, printed in grey, and on light and dark backgrounds.
pub const STOPS: [[u8; 3]; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];

/// A pixel for each of `values`, 0 to 1.
pub fn data_uri(values: &Array2<f32>) -> String {
    let (height, width) = values.dim();
    let pixels: Vec<u8> =
        values.iter().map(|x| (x.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
    let mut image = Vec::new();
    let mut encoder = Encoder::new(&mut image, width as u32, height as u32);
    encoder.set_color(ColorType::Indexed);
    encoder.set_palette((0..=255).flat_map(colour).collect::<Vec<u8>>());
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
    written.expect("an image of at least one pixel fits into memory");
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(image))
}

/// Entry `index` of the palette.
fn colour(index: u8) -> [u8; 3] {
    let place = f32::from(index) / 255.0 * (STOPS.len() - 1) as f32;
    let stop = (place as usize).min(STOPS.len() - 2);
    let share = place - stop as f32;
    [0, 1, 2].map(|n| {
        let (from, to) = (f32::from(STOPS[stop][n]), f32::from(STOPS[stop + 1][n]));
        (from + share * (to - from)).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_runs_from_the_first_stop_to_the_last() {
        assert_eq!((colour(0), colour(255)), (STOPS[0], STOPS[8]));
    }

    #[test]
    fn a_pixel_is_the_colour_of_its_number() {
        let uri = data_uri(&ndarray::array![[0.0, 1.0, 2.0], [-1.0, 0.5, f32::NAN]]);
        let bytes =
            BASE64_STANDARD.decode(uri.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (3, 2, ColorType::Indexed));
        assert_eq!(pixels, [0, 255, 255, 0, 128, 0]);
    }
}
