//! Declares words side by side in each language.

/// Declares a type of words and the function that finds them in a language. A word without one of the languages does not
/// compile; the test that comes with it compares the two.
macro_rules! words {
    (
        $(#[$about:meta])* $type:ident in $in_language:ident;
        $($(#[$word_about:meta])* $name:ident: $en:literal, $fr:literal;)*
        $(; $($list:ident: [$(($en_item:literal, $fr_item:literal),)*];)*)?
    ) => {
        $(#[$about])*
        pub(crate) struct $type {
            $($(#[$word_about])* pub(crate) $name: &'static str,)*
            $($(pub(crate) $list: &'static [&'static str],)*)?
        }

        /// The words in a language.
        pub(crate) fn $in_language(lang: super::lang::Lang) -> &'static $type {
            const EN: $type = $type { $($name: $en,)* $($($list: &[$($en_item,)*],)*)? };
            const FR: $type = $type { $($name: $fr,)* $($($list: &[$($fr_item,)*],)*)? };
            match lang {
                super::lang::Lang::En => &EN,
                super::lang::Lang::Fr => &FR,
            }
        }

        #[cfg(test)]
        mod tests {
            #[test]
            fn every_word_is_in_both_languages_with_the_same_placeholders() {
                let words = [
                    $((stringify!($name), $en, $fr),)*
                    $($($((stringify!($list), $en_item, $fr_item),)*)*)?
                ];
                for (name, english, french) in words {
                    assert!(!english.is_empty() && !french.is_empty(), "{name}");
                    assert_eq!(english.matches("{}").count(), french.matches("{}").count(), "{name}");
                    // An untranslated sentence is the same in both languages.
                    assert!(english != french || english.split(' ').count() < 3, "{name}: {english}");
                }
            }
        }
    };
}

pub(super) use words;
