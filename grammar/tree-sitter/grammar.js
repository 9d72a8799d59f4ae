/**
 * @file trav for tree-sitter, which editors use to colour, fold and select.
 *
 * It follows ../trav.pest, which is the reference, rule by rule where that is possible. An editor parses files that are
 * being written: this grammar may take more than the compiler does (record literals before a block, chains of
 * comparisons), never less.
 */

/// <reference types="tree-sitter-cli/dsl" />
// @ts-check

const list = (rule) => optional(list1(rule));
const list1 = (rule) => seq(rule, repeat(seq(",", rule)), optional(","));

// As in trav.pest, loosest first.
const PREC = {
  quantified: 1,
  default: 2,
  or: 3,
  and: 4,
  compare: 5,
  bit_or: 6,
  bit_xor: 7,
  bit_and: 8,
  shift: 9,
  sum: 10,
  product: 11,
  cast: 12,
  prefix: 13,
  postfix: 14,
  record: 15,
};

// Words that are never names.
const RESERVED = [
  "as", "assert", "break", "const", "continue", "else", "emit", "enum", "fail", "false", "fn", "follow", "for", "if", "in",
  "let", "loop", "match", "none", "read", "record", "require", "return", "self", "struct", "traversal", "true", "use", "var",
  "where", "while",
];

// Words with a meaning where a name can stand too. The others (`size`, `at`, …) are asked for only where no name can
// stand: the lexer takes them as names everywhere else by itself.
const CONTEXTUAL = [
  "align", "all", "any", "bits", "buffer", "bytes", "count", "cstr", "first", "last", "max", "min", "seq", "stream",
  "sum", "utf16", "varint", "view",
];

const ESCAPE = /\\([ntr0\\"']|x[0-9A-Fa-f]{2})/;

module.exports = grammar({
  name: "trav",

  word: ($) => $.identifier,
  reserved: { global: (_) => RESERVED },
  extras: ($) => [/\s/, $.comment],
  supertypes: ($) => [$._declaration, $._statement, $._expression, $._base_type],

  conflicts: ($) => [
    [$.path, $._expression],
    [$.seq_type, $._name],
    [$.stream_type, $._name],
    [$.quantifier, $._name],
    [$._expression, $.braced_arm],
  ],

  rules: {
    source_file: ($) => seq(repeat($.module_doc), repeat(choice($.use, $._declaration))),

    use: ($) => seq("use", $._name, repeat(seq(".", $._name)), optional(seq(".", "{", list1($._name), "}")), ";"),

    _declaration: ($) =>
      choice($.const, $.enum, $.flags, $.struct, $.record, $.fn, $.traversal, $.source, $.test),
    const: ($) =>
      seq(repeat($.doc), "const", field("name", $._name), optional(seq(":", $._type)), "=", $._value, ";"),
    enum: ($) => seq(repeat($.doc), "enum", field("name", $._name), ":", $._type, $.enum_items),
    flags: ($) => seq(repeat($.doc), "flags", field("name", $._name), ":", $._type, $.enum_items),
    enum_items: ($) => seq("{", list($.enum_item), "}"),
    enum_item: ($) => seq(repeat($.doc), field("name", $._name), "=", $._value),
    struct: ($) =>
      seq(
        repeat($.doc), "struct", field("name", $._name), optional($.params), optional(choice("big", "little")),
        optional(seq("size", $._expression)), $._members,
      ),
    record: ($) => seq(repeat($.doc), "record", field("name", $._name), $._members),
    fn: ($) => seq(repeat($.doc), "fn", field("name", $._name), $.params, "->", $._type, field("body", $.block)),
    traversal: ($) =>
      seq(
        repeat($.doc), "traversal", field("name", $._name), $.params, optional(seq("->", $._type)),
        field("body", $.block),
      ),
    params: ($) => seq("(", list($.param), ")"),
    param: ($) => seq(field("name", $._name), ":", $._type, optional(seq("=", $._value))),
    source: ($) => seq(repeat($.doc), "source", field("name", $._name), optional(seq("[", $._value, "]")), ";"),
    test: ($) => seq(repeat($.doc), "test", $.string, "on", $.string, $.block),

    // A member that ends in a brace needs no comma, nor does the last one.
    _members: ($) =>
      seq(
        "{",
        repeat(choice(seq($._plain_member, ","), seq(choice($.bits, $.fn), optional(",")))),
        optional($._plain_member),
        "}",
      ),
    _plain_member: ($) => choice($.field, $.let_member, $.align, $.where_member),
    where_member: ($) => seq(repeat($.doc), "where", $._value),
    at: ($) => seq("@", $._expression),
    field: ($) =>
      seq(
        repeat($.doc), optional($.at), field("name", $._name), ":", $._type, optional(seq("=", $._value)),
        optional($.where),
      ),
    let_member: ($) =>
      seq(
        repeat($.doc), "let", field("name", $._name), optional(seq(":", $._type)), "=", $._value, optional($.where),
      ),
    align: ($) => seq(repeat($.doc), "align", $._expression),
    where: ($) => seq("where", $._value),
    bits: ($) =>
      seq(
        repeat($.doc), optional($.at), "bits", $.named_type, optional(seq("from", "high")), "{", list($.bit_field), "}",
      ),
    bit_field: ($) =>
      seq(
        repeat($.doc), field("name", $._name), ":", $._expression, optional(seq("=", $._value)), optional($.where),
      ),

    _type: ($) => choice($._base_type, $.pointer_type, $.optional_type),
    optional_type: ($) => seq(choice($._base_type, $.pointer_type), "?"),
    pointer_type: ($) => prec.right(seq($._base_type, "->", $._base_type, optional(seq("*", $._expression)))),
    _base_type: ($) =>
      choice(
        $.bytes_type, $.sized_type, $.varint_type, $.seq_type, $.stream_type, $.match_type, $.array_type, $.named_type,
      ),
    bytes_type: ($) =>
      seq("bytes", choice(seq("<", choice($.to_end, $._size), ">"), seq("[", $._value, "]"), seq("up", "to", $._expression))),
    _size: ($) => prec(PREC.shift, $._expression),
    to_end: ($) => seq("to", "end"),
    sized_type: ($) => seq(choice("cstr", "utf16", "buffer"), "<", $._size, ">"),
    varint_type: ($) => seq("varint", "<", $._name, ">"),
    seq_type: ($) => seq("seq", $._base_type, choice($.to_end, seq("count", $._expression))),
    stream_type: ($) => seq("stream", $._base_type),
    match_type: ($) => seq("match", $._expression, "{", list1($.type_arm), "}"),
    type_arm: ($) => seq(choice("else", $._expression), "=>", $._type),
    array_type: ($) => seq("[", $._type, ";", choice($.to_end, $._value), "]"),
    named_type: ($) => prec.right(seq($.path, optional(seq("(", list($._value), ")")))),
    path: ($) => prec.left(seq($._name, repeat(seq(".", $._name)))),

    block: ($) => seq("{", repeat($._statement), optional($._value), "}"),
    _statement: ($) =>
      choice(
        $.let, $.var, $.for, $.loop, $.jump_statement, $.require, $.emit, $.assert, $.assignment, $.expression_statement,
      ),
    let: ($) => seq("let", field("name", $._name), optional(seq(":", $._type)), "=", $._value, ";"),
    var: ($) => seq("var", field("name", $._name), optional(seq(":", $._type)), optional(seq("=", $._value)), ";"),
    for: ($) => seq("for", field("name", $._name), "in", $.over, $.block),
    loop: ($) =>
      seq(
        "loop", optional($.bound), optional($.measure), optional(seq("while", $._expression)), $.block,
        optional(seq("else", $.block)),
      ),
    bound: ($) => seq("up", "to", $._expression),
    measure: ($) => seq("descending", $._expression),
    jump_statement: ($) => seq($._jump, ";"),
    _jump: ($) => choice($.return, $.fail, $.break, $.continue),
    return: ($) => prec.right(seq("return", optional($._value))),
    fail: ($) => seq("fail", $.string),
    break: (_) => "break",
    continue: (_) => "continue",
    require: ($) => seq("require", $._expression, "else", $.fail, ";"),
    emit: ($) => seq("emit", $._value, ";"),
    assert: ($) => seq("assert", $._value, ";"),
    assignment: ($) => seq($._expression, $._assign, $._value, ";"),
    _assign: (_) => choice("=", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "<<=", ">>="),
    expression_statement: ($) => choice(seq($._value, ";"), prec(1, $._braced)),
    _braced: ($) => choice($.if, $.match, $.block),

    // An expression perhaps with its default.
    _value: ($) => choice($._expression, $.default),
    default: ($) => prec.right(PREC.default, seq($._expression, "else", choice($._jump, $._value))),

    _expression: ($) =>
      choice(
        $.integer, $.string, $.char, $.array, $.paren, $._braced, $.read, $.view, $.follow, $.quantified, $.boolean,
        $.none, $.self, $.record_literal, $._name, $.unary, $.binary, $.range_test, $.cast, $.field_access,
        $.call, $.index,
      ),
    paren: ($) => seq("(", $._value, ")"),
    array: ($) => seq("[", choice(list($._value), seq($._value, ";", $._value)), "]"),
    boolean: (_) => choice("true", "false"),
    none: (_) => "none",
    // Further replacements behind commas are read as arguments of the call around them.
    self: ($) => prec.right(seq("self", optional(seq("with", $.replacement)))),
    replacement: ($) => prec.right(seq($._name, "=", $._expression)),
    record_rest: ($) => seq("..", $._expression),
    record_literal: ($) => prec.dynamic(-1, prec(PREC.record, seq($.path, "{", list(choice($.field_init, $.record_rest)), "}"))),
    field_init: ($) => seq($._name, optional(seq(":", $._value))),
    read: ($) =>
      prec.right(PREC.compare, seq("read", $._base_type, "at", $._expression, optional(seq("from", $._expression)))),
    view: ($) => prec.right(PREC.compare, seq("view", $._base_type, "at", $._expression, "in", $._expression)),
    follow: ($) => prec(PREC.prefix, seq("follow", $._expression)),
    quantified: ($) =>
      prec.right(PREC.quantified, seq(
        $.quantifier, field("name", $._name), "in", $.over, optional("sorted"),
        optional(seq("where", $._expression)), optional(seq("of", $._expression)),
      )),
    quantifier: (_) => choice("first", "last", "any", "all", "count", "sum", "min", "max"),
    over: ($) => prec.right(choice($._expression, $.range, seq($._expression, "from", $._expression))),
    range: ($) => prec.right(PREC.compare, seq($._expression, choice("..", "..="), $._expression)),

    unary: ($) => prec(PREC.prefix, seq(choice("-", "!", "~"), $._expression)),
    binary: ($) =>
      choice(
        ...[
          [PREC.or, ["||"]],
          [PREC.and, ["&&"]],
          [PREC.compare, ["==", "!=", "<", "<=", ">", ">="]],
          [PREC.bit_or, ["|"]],
          [PREC.bit_xor, ["^"]],
          [PREC.bit_and, ["&"]],
          [PREC.shift, ["<<", ">>", "<<%"]],
          [PREC.sum, ["+", "-", "+%", "-%"]],
          [PREC.product, ["*", "/", "%", "*%"]],
        ].map(([level, signs]) => prec.left(level, seq($._expression, signs.length > 1 ? choice(...signs) : signs[0], $._expression))),
      ),
    range_test: ($) => prec.left(PREC.compare, seq($._expression, "in", $.range)),
    cast: ($) => prec.right(PREC.cast, seq($._expression, "as", $.path, optional("wrapping"))),
    field_access: ($) => prec.left(PREC.postfix, seq($._expression, ".", field("field", $._name))),
    call: ($) => prec(PREC.postfix, seq(field("function", $._expression), "(", list($.arg), ")")),
    arg: ($) => choice(seq(optional(seq(field("name", $._name), ":")), $._value), $.replacement),
    index: ($) =>
      prec(PREC.postfix, seq($._expression, "[", choice($._value, $.range, $.slice), "]")),
    slice: ($) => choice("..", seq("..", $._expression), seq($._expression, "..")),

    if: ($) =>
      prec.right(seq(
        "if", choice(seq("let", $._name, "=", $._expression), $._expression), $.block,
        optional(seq("else", choice($.block, $.if))),
      )),
    match: ($) =>
      seq(
        "match", $._expression, "{",
        repeat(choice(seq($.match_arm, ","), seq($.braced_arm, optional(",")))), optional($.match_arm), "}",
      ),
    braced_arm: ($) => seq($._arm_head, $._braced),
    match_arm: ($) => seq($._arm_head, choice($._jump, $._value, $.arm_assignment)),
    _arm_head: ($) => seq(choice("else", $.pattern), "=>"),
    arm_assignment: ($) => seq($._expression, $._assign, $._value),
    // `1..=2 | 4..=5`: the bar is the operator here, so that the bounds are grouped wrongly; the words are right.
    pattern: ($) => seq($._expression, repeat(seq(choice("..", "..="), $._expression))),

    // A contextual word where none is asked for.
    _name: ($) => choice($.identifier, ...CONTEXTUAL.map((word) => alias(word, $.identifier))),
    identifier: (_) => /[A-Za-z_][A-Za-z0-9_]*/,
    integer: (_) => token(seq(/0x[0-9A-Fa-f_]*[0-9A-Fa-f][0-9A-Fa-f_]*|0b_*[01][01_]*|0o_*[0-7][0-7_]*|[0-9][0-9_]*/, optional(/[KMGT]iB/))),
    string: (_) => token(seq(optional("b"), '"', repeat(choice(/[^"\\\n]/, ESCAPE)), '"')),
    char: (_) => token(seq(optional("b"), "'", choice(/[^'\\\n]/, ESCAPE), "'")),
    module_doc: (_) => token(prec(2, /\/\/![^\n]*/)),
    doc: (_) => token(prec(2, /\/\/\/([^\/\n][^\n]*)?/)),
    comment: (_) => token(prec(1, /\/\/[^\n]*/)),
  },
});
