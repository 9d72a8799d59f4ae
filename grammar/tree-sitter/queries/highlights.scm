; Names of declarations, where they are declared. Each node has one capture, so that the order of the patterns says nothing.

(struct name: (identifier) @type.definition)
(record name: (identifier) @type.definition)
(enum name: (identifier) @type.definition)
(flags name: (identifier) @type.definition)
(fn name: (identifier) @function)
(traversal name: (identifier) @function)
(const name: (identifier) @constant)
(source name: (identifier) @module)

; Other names.

(enum_item name: (identifier) @constant.enum)
(field name: (identifier) @property)
(bit_field name: (identifier) @property)
(let_member name: (identifier) @property)
(field_access field: (identifier) @property)
(param name: (identifier) @variable.parameter)
(arg name: (identifier) @variable.parameter)
(call function: (identifier) @function.call)
(named_type (path (identifier) @type))

; Words. Those that are names elsewhere are no tokens of their own there.

[
  "align" "all" "any" "as" "assert" "at" "big" "bits" "buffer" "bytes" "const" "count" "cstr" "descending" "else" "emit"
  "end" "enum" "fail" "first" "flags" "fn" "follow" "for" "from" "high" "if" "in" "last" "let" "little" "loop" "match"
  "max" "min" "of" "on" "read" "record" "require" "return" "seq" "size" "sorted" "source" "stream" "struct" "sum" "test"
  "to" "traversal" "up" "use" "utf16" "var" "varint" "view" "where" "while" "with" "wrapping"
  (break) (continue)
] @keyword

[(boolean) (none) "self"] @constant.builtin

; Literals and comments.

(integer) @number
(string) @string
(char) @character
(comment) @comment
[(doc) (module_doc)] @comment.documentation

; Signs.

[
  "=" "+=" "-=" "*=" "/=" "%=" "|=" "&=" "^=" "<<=" ">>=" "||" "&&" "==" "!=" "<" "<=" ">" ">=" "|" "^" "&" "<<" ">>"
  "<<%" "+" "-" "+%" "-%" "*" "/" "%" "*%" "!" "~" ".." "..=" "->" "=>" "@" "?"
] @operator
["(" ")" "[" "]" "{" "}"] @punctuation.bracket
["," ";" ":" "."] @punctuation.delimiter
