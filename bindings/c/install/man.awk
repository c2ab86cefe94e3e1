# Makes man pages of transom.h: transom(3), and a page for each function and each type.
#
#     awk -v folder=DIR -v version=0.1.0 -v date='November 29, 2026' -f man.awk include/transom.h
#
# The pages are written in mdoc(7), for groff and mandoc. The header has this form, which
# tests/header.rs makes: a comment at the top, comments of sections ("---- Title ----"), and
# declarations, each with its comment above and an empty line below.

BEGIN { count = 0; section = ""; depth = 0 }

# ---- Reading -------------------------------------------------------------------------------

in_comment {
    if ($0 ~ /^ \*\/$/) { in_comment = 0; finish_comment(); next }
    sub(/^ \* ?/, "")
    comment = comment $0 "\n"
    next
}

# The body of a declaration goes on until its braces and parentheses are closed.
declaration != "" || /^(typedef|struct|enum|const|static|void|bool|[a-z][a-z0-9_]* |TRANSOM_[A-Z_]+)/ && !/^extern "C"/ {
    declaration = declaration $0 "\n"
    code = $0
    if (in_remark) { if (code !~ /\*\//) next; sub(/.*\*\//, "", code); in_remark = 0 }
    gsub(/\/\*[^*]*\*\//, "", code)
    sub(/\/\/.*/, "", code)
    if (sub(/\/\*.*/, "", code)) in_remark = 1
    depth += gsub(/[{(]/, "", code) - gsub(/[})]/, "", code)
    if (depth == 0 && (code ~ /;[ ]*$/ || ($0 ~ /^}/ && declaration ~ /^static/))) add(declaration)
    next
}

/^\/\*$/ { in_comment = 1; comment = ""; next }
/^\/\* ---- / {
    section = $0
    sub(/^\/\* -+ /, "", section)
    sub(/ -+ \*\/$/, "", section)
    comment = ""
    next
}
/^\/\*.*\*\/$/ { comment = substr($0, 4, length($0) - 6) "\n"; next }
/^#define TRANSOM_[A-Z0-9_]+(\([a-z_, ]*\))? [^_]/ { add_constant($0); next }
{ comment = "" }

function finish_comment() {
    if (overview == "") { overview = comment; comment = "" }
}

function add_constant(line) {
    if (comment == "") return
    sub(/^#define /, "", line)
    constant_count++
    # Of a macro with arguments, these are shown too.
    if (line ~ /^[A-Z0-9_]+\(/) {
        sub(/\).*/, "", line)
        gsub(/[(,]/, " ", line)
        constants[constant_count] = "Fn " line
    } else {
        sub(/ .*/, "", line)
        constants[constant_count] = "Dv " line
    }
    text[constants[constant_count]] = comment
    comment = ""
}

function add(whole,    flat, name) {
    declaration = ""
    if (whole ~ /^static/) sub(/\n?[{].*/, ";\n", whole)
    # Marks such as TRANSOM_MUST_USE are for the compiler.
    while (whole ~ /^TRANSOM_[A-Z_]+/) sub(/^TRANSOM_[A-Z_]+(\([^)]*\))?[ \n]+/, "", whole)
    flat = whole
    gsub(/[ \n]+/, " ", flat)
    kind_of = "function"
    if (match(flat, /^typedef [^{]*\(\* ?[a-z0-9_]+\)/)) {
        name = substr(flat, RSTART, RLENGTH)
        sub(/.*\(\* ?/, "", name)
        sub(/\)$/, "", name)
        kind_of = "type"
    } else if (flat ~ /^(typedef|struct|enum) [^(]*[{]/ || flat ~ /^typedef [^(]*;/) {
        name = flat
        if (flat ~ /^typedef/) { sub(/; *$/, "", name); sub(/.*[ *}]/, "", name) }
        else { sub(/^[a-z]+ /, "", name); sub(/[ {].*/, "", name) }
        kind_of = "type"
    } else if (match(flat, /transom_[a-z0-9_]+ ?\(/)) {
        name = substr(flat, RSTART, RLENGTH)
        sub(/ ?\($/, "", name)
        before[name] = substr(flat, 1, RSTART - 1)
        sub(/ +$/, "", before[name])
        sub(/^static (inline )?/, "", before[name])
        arguments[name] = substr(flat, RSTART + RLENGTH)
        sub(/\) ?[A-Z_]*(\([^)]*\))? ?; *$/, "", arguments[name])
    } else {
        comment = ""
        return
    }
    names[++count] = name
    kind[name] = kind_of
    source[name] = whole
    one_line[name] = flat
    text[name] = comment
    section_of[name] = section
    comment = ""
}

# ---- Writing -------------------------------------------------------------------------------

# Writes a line that is no macro.
function say(line) {
    gsub(/\\/, "\\e", line)
    if (line ~ /^[.']/) line = "\\&" line
    print line > out
}

function macro(line) { print line > out }

# Returns words for the line of a macro, where "An" or "No" would be one.
function quoted(line,    words, n, i, result) {
    gsub(/\\/, "\\e", line)
    gsub(/"/, "\\(dq", line)
    n = split(line, words, " ")
    for (i = 1; i <= n; i++) {
        if (words[i] ~ /^[A-Z%][a-z0-9][a-z0-9]?$/) words[i] = "\\&" words[i]
        result = result (i > 1 ? " " : "") words[i]
    }
    return result
}

# Returns "abc" as " a b c": marks that follow a macro.
function spread(marks,    i, result) {
    for (i = 1; i <= length(marks); i++) result = result " " substr(marks, i, 1)
    return result
}

# Returns the macro for a word: a reference to a page, a constant, or an argument in backquotes.
function marked(word) {
    if (word in kind && word != page) return "Xr " word " 3"
    if (word ~ /^TRANSOM_[A-Z0-9_]+$/) return "Dv " word
    if (word ~ /^`[*a-z0-9_]+`$/) return "Fa " substr(word, 2, length(word) - 2)
    return ""
}

# Writes words, some of which are marked.
function say_words(line,    words, n, i, word, core, lead, marks, begun, mark) {
    n = split(line, words, " ")
    begun = ""
    for (i = 1; i <= n; i++) {
        word = words[i]
        lead = ""
        if (word ~ /^\(/) { lead = "("; word = substr(word, 2) }
        core = word
        sub(/[.,:;!?)]+$/, "", core)
        marks = substr(word, length(core) + 1)
        sub(/\($/, "", core)
        mark = marked(core)
        if (mark == "") {
            if (length(begun words[i]) > 78) { say(begun); begun = "" }
            begun = begun (begun == "" ? "" : " ") words[i]
            # A sentence begins on a line of its own, for the space before it.
            if (words[i] ~ /[.!?]\)?$/) { say(begun); begun = "" }
            continue
        }
        if (begun != "") say(begun)
        begun = ""
        macro("." (lead == "" ? "" : "Pf ( ") mark spread(marks))
    }
    if (begun != "") say(begun)
}

# Writes the paragraphs of a comment. `begun` is true if a paragraph came before in the section.
function say_text(body, begun,    lines, n, i, in_literal, in_list, ended) {
    n = split(body, lines, "\n")
    in_literal = in_list = ended = 0
    for (i = 1; i <= n; i++) {
        if (lines[i] == "") { ended = 1; continue }
        if (lines[i] ~ /^    / && !in_list) {
            if (!in_literal) { macro(".Bd -literal -offset indent"); in_literal = 1 }
            else if (ended) say("")
            ended = 0
            gsub(/-/, "\\-", lines[i])
            literal(substr(lines[i], 5))
            begun = 1
            continue
        }
        if (in_literal) { macro(".Ed"); in_literal = 0 }
        if (lines[i] ~ /^- /) {
            if (!in_list) { macro(".Bl -bullet"); in_list = 1 }
            macro(".It")
            sub(/^- /, "", lines[i])
        } else if (in_list && lines[i] !~ /^ /) {
            macro(".El")
            in_list = 0
        }
        if (ended && begun && !in_list) macro(".Pp")
        ended = 0
        say_words(lines[i])
        begun = 1
    }
    if (in_literal) macro(".Ed")
    if (in_list) macro(".El")
}

# Writes a line that is shown as it is; its hyphens are escaped by the caller.
function literal(line) {
    if (line ~ /^[.']/) line = "\\&" line
    print line > out
}

function literal_block(body,    lines, n, i) {
    macro(".Bd -literal")
    n = split(body, lines, "\n")
    for (i = 1; i <= n; i++) {
        gsub(/\\/, "\\e", lines[i])
        gsub(/-/, "\\-", lines[i])
        if (i < n || lines[i] != "") literal(lines[i])
    }
    macro(".Ed")
}

# Returns the first sentence of a comment.
function summary(body) {
    sub(/\n\n.*/, "", body)
    gsub(/\n/, " ", body)
    sub(/ +$/, "", body)
    if (match(body, /\.( |$)/)) body = substr(body, 1, RSTART - 1)
    return body
}

function begin_page(name, what,    first) {
    page = name
    out = folder "/" name ".3"
    first = substr(what, 1, 2)
    if (first ~ /^[A-Z]([a-z]| )/) what = tolower(substr(what, 1, 1)) substr(what, 2)
    macro(".\\\" Made from transom.h by bindings/c/install/man.awk.")
    macro(".Dd " date)
    macro(".Dt " toupper(name) " 3")
    macro(".Os \"Transom " version "\"")
    macro(".Sh NAME")
    macro(".Nm " name)
    gsub(/`/, "", what)
    macro(".Nd " quoted(what))
    macro(".Sh LIBRARY")
    macro("Transom (libtransom, \\-ltransom)")
    macro(".Sh SYNOPSIS")
    macro(".In transom.h")
}

# Sorts list[1] to list[n].
function sort(list, n,    i, j, moved) {
    for (i = 2; i <= n; i++) {
        moved = list[i]
        for (j = i - 1; j >= 1 && list[j] > moved; j--) list[j + 1] = list[j]
        list[j + 1] = moved
    }
}

# Writes references to transom(3) and to the types in a declaration.
function see_also(name,    words, n, i, found, seen, list) {
    n = split(one_line[name], words, /[^a-z0-9_]+/)
    list[found = 1] = "transom"
    seen[name] = 1
    for (i = 1; i <= n; i++) {
        if (words[i] in seen || !(words[i] in kind) || kind[words[i]] != "type") continue
        seen[words[i]] = 1
        list[++found] = words[i]
    }
    sort(list, found)
    macro(".Sh SEE ALSO")
    for (i = 1; i <= found; i++) macro(".Xr " list[i] " 3" (i < found ? " ," : ""))
}

# Writes the errors of a function: the paragraphs of its comment that begin with "Errors".
function say_errors(errors, returns) {
    if (errors == "" && returns != "transom_status") return
    macro(".Sh ERRORS")
    if (errors ~ /^Errors: /) {
        errors = substr(errors, 9)
        if (errors !~ /^transom_/) errors = toupper(substr(errors, 1, 1)) substr(errors, 2)
    }
    say_text(errors, 0)
    if (returns != "transom_status") return
    if (errors != "") macro(".Pp")
    say_words("Every function can also return TRANSOM_NULL_ARGUMENT, TRANSOM_NOT_UTF8, TRANSOM_FORKED or TRANSOM_PANIC, as")
    say_words("transom describes.")
}

function function_page(name,    parts, n, i, body, errors) {
    begin_page(name, summary(text[name]))
    macro(".Ft \"" before[name] "\"")
    macro(".Fo " name)
    n = split(arguments[name], parts, /, */)
    for (i = 1; i <= n; i++) macro(".Fa \"" parts[i] "\"")
    macro(".Fc")
    macro(".Sh DESCRIPTION")
    n = split(text[name], parts, /\n\n/)
    body = errors = ""
    for (i = 1; i <= n; i++) {
        if (parts[i] ~ /^(Errors|Other errors)[ :]/) errors = errors parts[i] "\n\n"
        else body = body parts[i] "\n\n"
    }
    say_text(body, 0)
    if (before[name] == "transom_status") {
        macro(".Sh RETURN VALUES")
        say_words("TRANSOM_OK, or a negative transom_status.")
    }
    say_errors(errors, before[name])
    see_also(name)
    close(out)
}

# Writes a list of what there is, with summaries.
function list_of(list, n,    i) {
    macro(".Bl -tag -width Ds")
    for (i = 1; i <= n; i++) {
        macro(".It Xr " list[i] " 3")
        say_words(summary(text[list[i]]) ".")
    }
    macro(".El")
}

function type_page(name,    i, n, list) {
    begin_page(name, summary(text[name]))
    literal_block(source[name])
    macro(".Sh DESCRIPTION")
    say_text(text[name], 0)
    for (i = 1; i <= count; i++)
        if (kind[names[i]] == "function" && one_line[names[i]] ~ ("(^|[^a-z0-9_])" name "($|[^a-z0-9_])"))
            list[++n] = names[i]
    # Most functions return a status.
    if (n > 0 && name != "transom_status") {
        macro(".Pp")
        say_words("These functions take or return it:")
        list_of(list, n)
    }
    see_also(name)
    close(out)
}

# Writes the comment at the top of the header; "ERRORS. A function ..." begins a part.
function say_overview(    parts, n, i, title, begun) {
    n = split(overview, parts, /\n\n/)
    begun = 0
    for (i = 1; i <= n; i++) {
        if (parts[i] ~ /^(transom\.h - |SPDX-)/) continue
        if (match(parts[i], /^[A-Z][A-Z ]+\. /)) {
            title = substr(parts[i], 1, RLENGTH - 2)
            macro(".Ss " substr(title, 1, 1) tolower(substr(title, 2)))
            parts[i] = substr(parts[i], RLENGTH + 1)
            begun = 0
        }
        if (begun && parts[i] !~ /^(    |- )/) macro(".Pp")
        say_text(parts[i], 1)
        begun = 1
    }
}

function overview_page(    i, n, list, what) {
    what = overview
    sub(/^[^-]*- /, "", what)
    begin_page("transom", summary(what))
    macro(".Pp")
    macro("cc program.c $(pkg-config \\-\\-cflags \\-\\-libs transom)")
    macro(".Sh DESCRIPTION")
    say_overview()
    macro(".Ss Constants")
    macro(".Bl -tag -width Ds")
    for (i = 1; i <= constant_count; i++) {
        macro(".It " constants[i])
        say_text(text[constants[i]], 0)
    }
    macro(".El")
    macro(".Ss Types")
    for (i = 1; i <= count; i++) if (kind[names[i]] == "type") list[++n] = names[i]
    list_of(list, n)
    for (i = 1; i <= count; i++) {
        if (kind[names[i]] != "function") continue
        if (section_of[names[i]] != section) {
            section = section_of[names[i]]
            macro(".Ss " quoted(section))
            n = 0
        }
        list[++n] = names[i]
        if (i == count || kind[names[i + 1]] != "function" || section_of[names[i + 1]] != section) list_of(list, n)
    }
    macro(".Sh SEE ALSO")
    macro(".Xr pkg-config 1")
    close(out)
}

END {
    section = ""
    kind["transom"] = "page"
    overview_page()
    for (i = 1; i <= count; i++) {
        if (kind[names[i]] == "function") function_page(names[i])
        else type_page(names[i])
    }
}
