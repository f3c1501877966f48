//! What is said, in the order of Autobahn's chapters: frames, pings, reserved bits, opcodes, fragments, UTF-8, the end.

use super::frames::{BINARY, CLOSE, CONTINUATION, FINAL, Form, PING, PONG, Piece, TEXT, close, piece};

/// One conversation.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) said: Vec<Piece>,
}

pub(super) fn cases() -> Vec<Case> {
    let chapters =
        [lengths(), pings(), reserved(), opcodes(), fragments(), texts(), closes(), masks(), cut_short()];
    chapters.into_iter().flatten().map(|(name, said)| Case { name, said }).collect()
}

type Chapter = Vec<(String, Vec<Piece>)>;

/// Said after what should pass: whoever got here still listens.
fn farewell() -> Piece {
    close(1000, "done")
}

fn lengths() -> Chapter {
    let mut chapter = Chapter::new();
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537, 16 << 20] {
        for (kind, first) in [("text", FINAL | TEXT), ("binary", FINAL | BINARY)] {
            let said = vec![piece(first, vec![b'x'; length]), farewell()];
            chapter.push((format!("{kind} of {length}"), said));
        }
    }
    for (length, form) in
        [(0, Form::TwoBytes), (125, Form::TwoBytes), (5, Form::EightBytes), (300, Form::EightBytes)]
    {
        let long = Piece::Frame { first: FINAL | BINARY, form, payload: vec![7; length] };
        chapter.push((format!("{length} as {form:?}"), vec![long, farewell()]));
    }
    let negative = Piece::Promise { first: FINAL | BINARY, length: 1 << 63, payload: vec![1] };
    chapter.push(("a length with the highest bit".into(), vec![negative]));
    chapter
}

fn pings() -> Chapter {
    let ping = |payload: &[u8]| piece(PING, payload);
    let many =
        |count: u32| (0..count).map(|number| piece(PING, number.to_string())).chain([farewell()]).collect();
    vec![
        ("an empty ping".into(), vec![ping(b""), farewell()]),
        ("a ping of bytes".into(), vec![ping(&[0, 0xff, 0xfe, 0xc0]), farewell()]),
        ("the longest ping".into(), vec![ping(&[0xfe; 125]), farewell()]),
        ("a ping too long".into(), vec![ping(&[0xfe; 126]), farewell()]),
        ("a pong that nobody asked for".into(), vec![piece(PONG, "unasked"), ping(b"then"), farewell()]),
        ("a pong too long".into(), vec![piece(PONG, [1; 126]), farewell()]),
        ("ten pings".into(), many(10)),
        (
            "pings between messages".into(),
            vec![
                ping(b"1"),
                piece(FINAL | TEXT, "a"),
                ping(b"2"),
                piece(FINAL | BINARY, "b"),
                ping(b"3"),
                farewell(),
            ],
        ),
        ("a ping in fragments".into(), vec![piece(PING & !FINAL, "fra"), piece(FINAL, "gments"), farewell()]),
        ("a pong in fragments".into(), vec![piece(PONG & !FINAL, "fra"), piece(FINAL, "gments"), farewell()]),
    ]
}

fn reserved() -> Chapter {
    let mut chapter = Chapter::new();
    for bits in 1..8_u8 {
        for (kind, first) in
            [("text", FINAL | TEXT), ("binary", FINAL | BINARY), ("ping", PING), ("close", CLOSE)]
        {
            let said =
                vec![piece(FINAL | TEXT, "before"), piece(first | (bits << 4), [0x03, 0xe8]), farewell()];
            chapter.push((format!("reserved bits {bits:03b} in a {kind}"), said));
        }
    }
    chapter
}

fn opcodes() -> Chapter {
    let mut chapter = Chapter::new();
    for opcode in (3..8).chain(11..16_u8) {
        let said = vec![piece(FINAL | opcode, ""), farewell()];
        chapter.push((format!("opcode {opcode}"), said));
        let said =
            vec![piece(FINAL | TEXT, "before"), piece(FINAL | opcode, "payload"), piece(PING, "after")];
        chapter.push((format!("opcode {opcode} after a message"), said));
    }
    chapter.push(("opcode 3, not final".into(), vec![piece(3, "a"), piece(FINAL, "b"), farewell()]));
    chapter
}

fn fragments() -> Chapter {
    let first = || piece(TEXT, "fra");
    let rest = || piece(FINAL | CONTINUATION, "gments");
    let single: Vec<Piece> = [piece(BINARY, "")]
        .into_iter()
        .chain((0..100_u8).map(|byte| piece(CONTINUATION, [byte])))
        .chain([rest(), farewell()])
        .collect();
    let large: Vec<Piece> = [piece(BINARY, vec![1; 1 << 20])]
        .into_iter()
        .chain((0..14).map(|_| piece(CONTINUATION, vec![2; 1 << 20])))
        .chain([piece(FINAL | CONTINUATION, vec![3; 1 << 20]), farewell()])
        .collect();
    vec![
        ("two fragments".into(), vec![first(), rest(), farewell()]),
        ("a ping between".into(), vec![first(), piece(PING, "between"), rest(), farewell()]),
        ("a pong between".into(), vec![first(), piece(PONG, "between"), rest(), farewell()]),
        ("the longest ping between".into(), vec![first(), piece(PING, [0; 125]), rest(), farewell()]),
        (
            "empty fragments".into(),
            vec![piece(TEXT, ""), piece(CONTINUATION, ""), piece(FINAL, ""), farewell()],
        ),
        ("an empty one in the middle".into(), vec![first(), piece(CONTINUATION, ""), rest(), farewell()]),
        ("a hundred of one byte".into(), single),
        ("16 MiB in fragments".into(), large),
        ("a continuation of nothing".into(), vec![rest(), farewell()]),
        ("a continuation of nothing, not final".into(), vec![piece(CONTINUATION, "x"), rest(), farewell()]),
        ("a continuation after a message".into(), vec![piece(FINAL | TEXT, "whole"), rest(), farewell()]),
        ("a message within a message".into(), vec![first(), piece(FINAL | TEXT, "new"), farewell()]),
        ("a first fragment twice".into(), vec![first(), first(), rest(), farewell()]),
        ("the end within a message".into(), vec![first(), farewell()]),
        ("two messages in fragments".into(), vec![first(), rest(), piece(BINARY, [9]), rest(), farewell()]),
    ]
}

fn texts() -> Chapter {
    let good: [(&str, &[u8]); 6] = [
        ("kosme", "κόσμε".as_bytes()),
        ("the last code point", "\u{10ffff}".as_bytes()),
        ("what is no character", "\u{ffff}\u{fdd0}".as_bytes()),
        ("a nul", b"\0"),
        ("around the surrogates", "\u{d7ff}\u{e000}".as_bytes()),
        ("a mark of order", "\u{feff}".as_bytes()),
    ];
    let bad: [(&str, &[u8]); 13] = [
        ("a continuation alone", &[0x80]),
        ("continuations alone", &[0x80, 0xbf, 0x80]),
        ("a start alone", &[0xc3]),
        ("a start before a letter", &[0xe2, b'a']),
        ("two bytes of three", &[0xe2, 0x82]),
        ("three bytes of four", &[0xf0, 0x9f, 0x98]),
        ("a slash in two bytes", &[0xc0, 0xaf]),
        ("a slash in three bytes", &[0xe0, 0x80, 0xaf]),
        ("a slash in four bytes", &[0xf0, 0x80, 0x80, 0xaf]),
        ("a surrogate", &[0xed, 0xa0, 0x80]),
        ("beyond the last", &[0xf4, 0x90, 0x80, 0x80]),
        ("fe", &[0xfe]),
        ("ff after text", b"ok\xff"),
    ];
    let mut chapter = Chapter::new();
    for (name, text) in good.into_iter().chain(bad) {
        chapter.push((
            format!("text: {name}"),
            vec![piece(FINAL | TEXT, text), piece(PING, "there"), farewell()],
        ));
        let bytewise = text
            .iter()
            .enumerate()
            .map(|(place, byte)| piece(if place == 0 { TEXT } else { CONTINUATION }, [*byte]));
        let said =
            bytewise.chain([piece(PING, "there"), piece(FINAL | CONTINUATION, ""), farewell()]).collect();
        chapter.push((format!("text by the byte: {name}"), said));
    }
    chapter
}

fn closes() -> Chapter {
    let mut chapter: Chapter = vec![
        ("an end without a code".into(), vec![piece(CLOSE, "")]),
        ("half a code".into(), vec![piece(CLOSE, [3])]),
        ("the longest reason".into(), vec![close(1000, vec![b'r'; 123])]),
        ("a reason too long".into(), vec![close(1000, vec![b'r'; 124])]),
        ("a reason that is no text".into(), vec![close(1000, [0xce, 0xba, 0xff])]),
        ("a message after the end".into(), vec![farewell(), piece(FINAL | TEXT, "late")]),
        ("a ping after the end".into(), vec![farewell(), piece(PING, "late")]),
        ("the end twice".into(), vec![close(1001, "one"), close(1002, "two")]),
        ("an end in fragments".into(), vec![piece(CLOSE & !FINAL, [3]), piece(FINAL, [0xe8])]),
    ];
    let legal =
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    let illegal = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    for code in legal.into_iter().chain(illegal) {
        chapter.push((format!("code {code}"), vec![close(code, "")]));
        chapter.push((
            format!("code {code} with a reason"),
            vec![piece(FINAL | TEXT, "first"), close(code, "größe")],
        ));
    }
    chapter
}

fn masks() -> Chapter {
    let wrong = |first, payload: &[u8]| Piece::WronglyMasked { first, payload: payload.to_vec() };
    vec![
        (
            "a mask forgotten".into(),
            vec![piece(FINAL | TEXT, "before"), wrong(FINAL | TEXT, b"naked"), farewell()],
        ),
        ("a mask forgotten in a ping".into(), vec![wrong(PING, b"naked"), farewell()]),
        ("a mask forgotten at the end".into(), vec![wrong(CLOSE, &[3, 0xe8])]),
    ]
}

/// After these the client says nothing more and closes its half.
fn cut_short() -> Chapter {
    let promise =
        |length, payload: &[u8]| Piece::Promise { first: FINAL | BINARY, length, payload: payload.to_vec() };
    vec![
        ("nothing at all".into(), vec![]),
        ("messages and no end".into(), vec![piece(FINAL | TEXT, "one"), piece(FINAL | BINARY, "two")]),
        ("half a payload".into(), vec![piece(FINAL | TEXT, "one"), promise(10, b"half")]),
        ("a head and nothing more".into(), vec![promise(70_000, b"")]),
        ("a message that is never finished".into(), vec![piece(TEXT, "begun")]),
    ]
}
