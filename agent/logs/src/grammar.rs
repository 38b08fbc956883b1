//! What the closed word classes of English tell about the words beside them: articles, prepositions, auxiliaries and the like are
//! grammar and never a value; what follows a preposition often is one; what follows the report of a failure is its reason.
//! Must hold no word that names a thing: those are for learning.

/// Longest word of the closed classes.
const LONGEST: usize = 12;

/// Whether a word is grammar: an article, preposition, conjunction, pronoun, auxiliary or adverb.
pub(crate) fn is_function_word(word: &[u8]) -> bool {
    lower(word, |word| preposition(word) || other_function_word(word))
}

/// Whether a word is one of the prepositions that values follow.
pub(crate) fn is_preposition(word: &[u8]) -> bool {
    lower(word, preposition)
}

/// Whether a verb follows a word: `could not open`.
pub(crate) fn introduces_verb(word: &[u8]) -> bool {
    lower(word, |word| negation(word) || matches!(word, b"can" | b"will" | b"would" | b"must" | b"should" | b"could" | b"may"))
}

/// Whether a verb follows a word and `to`: `failed to open`.
pub(crate) fn takes_infinitive(word: &[u8]) -> bool {
    lower(word, |word| {
        [&b"fail"[..], b"attempt", b"refus", b"want", b"need", b"wait"].iter().any(|stem| word.starts_with(stem))
            || matches!(word, b"unable" | b"able" | b"trying" | b"tried" | b"going" | b"have" | b"has" | b"about" | b"allowed" | b"ready")
    })
}

/// Whether a word says that something went wrong, so that a colon behind it announces the reason.
pub(crate) fn tells_failure(word: &[u8]) -> bool {
    const STEMS: [&[u8]; 9] = [b"fail", b"error", b"reject", b"refus", b"abort", b"unable", b"invalid", b"denied", b"exception"];
    lower(word, |word| STEMS.iter().any(|stem| word.starts_with(stem)) || negation(word) || matches!(word, b"reason" | b"closed" | b"lost"))
}

/// Whether a word says that something changes, so that what it changes `from` and `to` are values.
pub(crate) fn tells_change(word: &[u8]) -> bool {
    const STEMS: [&[u8]; 16] = [
        b"chang",
        b"transition",
        b"switch",
        b"mov",
        b"upgrad",
        b"downgrad",
        b"promot",
        b"demot",
        b"updat",
        b"modif",
        b"state",
        b"status",
        b"role",
        b"mode",
        b"level",
        b"went",
    ];
    lower(word, |word| STEMS.iter().any(|stem| word.starts_with(stem)))
}

/// Whether a word has the form of a participle: what is or was done, rather than to whom.
pub(crate) fn is_participle(word: &[u8]) -> bool {
    is_past_participle(word) || word.len() > 4 && word.ends_with(b"ing")
}

/// Whether a word has the form of a past participle.
pub(crate) fn is_past_participle(word: &[u8]) -> bool {
    word.len() > 4 && word.ends_with(b"ed")
}

fn preposition(word: &[u8]) -> bool {
    matches!(
        word,
        b"by"
            | b"from"
            | b"for"
            | b"of"
            | b"on"
            | b"in"
            | b"to"
            | b"at"
            | b"with"
            | b"via"
            | b"as"
            | b"into"
            | b"onto"
            | b"under"
            | b"within"
            | b"than"
    )
}

fn negation(word: &[u8]) -> bool {
    matches!(
        word,
        b"not" | b"cannot" | b"can't" | b"couldn't" | b"didn't" | b"doesn't" | b"don't" | b"isn't" | b"wasn't" | b"won't" | b"wouldn't"
    )
}

#[rustfmt::skip]
fn other_function_word(word: &[u8]) -> bool {
    matches!(
        word,
        b"a" | b"an" | b"the" | b"this" | b"that" | b"these" | b"those" | b"its" | b"his" | b"her" | b"their" | b"our" | b"your"
            | b"and" | b"or" | b"but" | b"nor" | b"if" | b"then" | b"else" | b"when" | b"while" | b"because" | b"since" | b"until"
            | b"before" | b"after" | b"during" | b"without" | b"over" | b"above" | b"below" | b"between" | b"through" | b"against" | b"about"
            | b"is" | b"are" | b"was" | b"were" | b"be" | b"been" | b"being" | b"has" | b"have" | b"had" | b"do" | b"does" | b"did"
            | b"can" | b"cannot" | b"could" | b"will" | b"would" | b"should" | b"shall" | b"may" | b"might" | b"must"
            | b"not" | b"no" | b"already" | b"still" | b"only" | b"also" | b"now" | b"never" | b"again"
            | b"it" | b"he" | b"she" | b"they" | b"we" | b"you" | b"which" | b"who" | b"what" | b"where" | b"there" | b"how" | b"why"
    )
}

/// Whether `holds` is true of a word in lower case; of none longer than any of these.
fn lower(word: &[u8], holds: impl Fn(&[u8]) -> bool) -> bool {
    let mut buffer = [0u8; LONGEST];
    let Some(lower) = buffer.get_mut(..word.len()) else { return false };
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    holds(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_by_their_class_in_any_case() {
        assert!([&b"The"[..], b"FROM", b"cannot", b"after"].iter().all(|word| is_function_word(word)));
        assert!([&b"server"[..], b"open", b"", b"internationalisation"].iter().all(|word| !is_function_word(word)));
        assert!(is_preposition(b"by") && !is_preposition(b"the"));
        assert!(introduces_verb(b"couldn't") && takes_infinitive(b"Failed") && !takes_infinitive(b"connected"));
    }

    #[test]
    fn failures_are_told_by_their_stem() {
        assert!([&b"failure"[..], b"Error", b"rejected", b"ABORTED", b"not"].iter().all(|word| tells_failure(word)));
        assert!([&b"started"[..], b"dense", b"note"].iter().all(|word| !tells_failure(word)));
    }
}
