//! The style sheet of a portal link's colour. Links and buttons take the colour if it has a contrast of at least 4.5 to 1
//! (WCAG AA) on every background of the page, and otherwise the nearest shade that has.

/// Luminances between those of text in the accent colour and the backgrounds of `console.css`: the darkest background of
/// the light page, and the lightest of the dark page.
const LIGHT_BACKGROUND: f64 = 0.8;
const DARK_BACKGROUND: f64 = 0.032;

/// The least contrast of text.
const CONTRAST: f64 = 4.5;

/// A colour in linear light, each channel from 0 to 1.
#[derive(Debug, Clone, Copy)]
struct Color([f64; 3]);

/// The style sheet of a colour in six hexadecimal digits; `None` for other text.
pub(super) fn style_sheet(digits: &str) -> Option<String> {
    let color = Color::parse(digits)?;
    let (light, dark) = (color.on_light(), color.on_dark());
    Some(format!(
        ":root{{--accent:{light};--accent-over:{};--on-accent:#ffffff;--ring:{light}}}\n\
         @media (prefers-color-scheme:dark){{:root{{--accent:{dark};--accent-over:{};--on-accent:#14152b;--ring:{dark}}}}}\n",
        light.darker(0.7),
        dark.lighter(0.25),
        light = light.hex(),
        dark = dark.hex(),
    ))
}

impl Color {
    fn parse(digits: &str) -> Option<Self> {
        let is_color = digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u32::from_str_radix(digits, 16).ok().filter(|_| is_color)?;
        let [_, red, green, blue] = number.to_be_bytes();
        Some(Self([red, green, blue].map(linear)))
    }

    /// Relative luminance, as WCAG defines it.
    fn luminance(self) -> f64 {
        let Self([red, green, blue]) = self;
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// The colour, darkened as far as it needs to be read on the light page.
    fn on_light(self) -> Self {
        let most = (LIGHT_BACKGROUND + 0.05) / CONTRAST - 0.05;
        let luminance = self.luminance();
        if luminance <= most { self } else { self.scaled(most / luminance) }
    }

    /// The colour, lightened as far as it needs to be read on the dark page.
    fn on_dark(self) -> Self {
        let least = CONTRAST * (DARK_BACKGROUND + 0.05) - 0.05;
        let luminance = self.luminance();
        if luminance >= least { self } else { self.mixed_with_white((least - luminance) / (1.0 - luminance)) }
    }

    fn scaled(self, factor: f64) -> Self {
        Self(self.0.map(|channel| channel * factor))
    }

    fn mixed_with_white(self, share: f64) -> Self {
        Self(self.0.map(|channel| channel + (1.0 - channel) * share))
    }

    /// The colour of a button under the pointer.
    fn darker(self, factor: f64) -> String {
        self.scaled(factor).hex()
    }

    fn lighter(self, share: f64) -> String {
        self.mixed_with_white(share).hex()
    }

    fn hex(self) -> String {
        let [red, green, blue] = self.0.map(coded);
        format!("#{red:02x}{green:02x}{blue:02x}")
    }
}

/// The linear light of an sRGB channel.
fn linear(channel: u8) -> f64 {
    let channel = f64::from(channel) / 255.0;
    if channel <= 0.040_45 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
}

/// The sRGB channel of linear light.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
fn coded(light: f64) -> u8 {
    let channel = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (channel * 255.0).round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contrast(one: &str, other: &str) -> f64 {
        let [one, other] =
            [one, other].map(|text| Color::parse(text.trim_start_matches('#')).unwrap().luminance() + 0.05);
        one.max(other) / one.min(other)
    }

    /// The value of a custom property in a block of a style sheet.
    fn property<'s>(sheet: &'s str, name: &str) -> &'s str {
        let (_, rest) = sheet.split_once(&format!("--{name}:")).unwrap();
        rest.trim_start().get(..7).unwrap()
    }

    #[test]
    fn every_colour_is_readable_on_every_background_in_light_and_dark() {
        let css = include_str!("console.css");
        let (light, dark) = css.split_once("@media (prefers-color-scheme: dark)").unwrap();
        let backgrounds = ["page", "card", "soft", "code", "good-soft", "bad-soft", "warn-soft", "busy-soft"];
        let channels = [0_u8, 1, 51, 102, 128, 153, 204, 254, 255];
        for red in channels {
            for green in channels {
                for blue in channels {
                    let digits = format!("{red:02x}{green:02x}{blue:02x}");
                    let sheet = style_sheet(&digits).unwrap();
                    for (ours, css) in sheet.split("@media").zip([light, dark]) {
                        for accent in ["accent", "accent-over"].map(|name| property(ours, name)) {
                            for background in backgrounds.map(|name| property(css, name)) {
                                let found = contrast(accent, background);
                                assert!(found >= CONTRAST, "{digits}: {accent} on {background} has {found}");
                            }
                            let button = contrast(accent, property(ours, "on-accent"));
                            assert!(button >= CONTRAST, "{digits}: text on {accent} has {button}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_colour_with_enough_contrast_stays_and_other_text_is_no_colour() {
        assert!(style_sheet("4338ca").unwrap().starts_with(":root{--accent:#4338ca;"));
        for other in ["", "4338c", "4338caa", "+338ca", "4338cg", "é38ca"] {
            assert_eq!(style_sheet(other), None, "{other}");
        }
    }
}
