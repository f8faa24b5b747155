"""Filling in a command: what is put where, what is refused and why, what is warned of."""

import unittest

from openloop.config import placeholders
from openloop.config.shell_constructs import Place

# A placeholder that may not go in bare, and what it becomes as a word.
HOT, WORD = "{last_error}", '"${OPENLOOP_LAST_ERROR}"'
TEXT = "${OPENLOOP_LAST_ERROR}"

FILLED = {
    # as a word, and next to what is a word without it
    "echo {last_error}": f"echo {WORD}",
    "{workspace}/run": '"${OPENLOOP_WORKSPACE}"/run',
    "x={last_error} cmd": f"x={WORD} cmd",
    "ls {project_root}/*.py": 'ls "${OPENLOOP_PROJECT_ROOT}"/*.py',
    "a>{prompt_file} <{prompt_file} 2>&1": (
        'a>"${OPENLOOP_PROMPT_FILE}" <"${OPENLOOP_PROMPT_FILE}" 2>&1'
    ),
    "echo {round}>file": 'echo "${OPENLOOP_ROUND}">file',
    "(a {step})|b {round}&c": '(a "${OPENLOOP_STEP}")|b "${OPENLOOP_ROUND}"&c',
    "{round}{step}": '"${OPENLOOP_ROUND}""${OPENLOOP_STEP}"',
    # inside quotes
    f'"a {HOT}"': f'"a {TEXT}"',
    f"'a {HOT}'": f"'a '{WORD}''",
    f"""'{{"error":"{HOT}"}}'""": f"""'{{"error":"'{WORD}'"}}'""",
    "'{\"round\":{round}}'": "'{\"round\":'\"${OPENLOOP_ROUND}\"'}'",
    f'"it\'s {HOT}"': f'"it\'s {TEXT}"',
    f'"\\"{HOT}\\""': f'"\\"{TEXT}\\""',
    f"\\'{HOT}\\' \\\\{HOT}": f"\\'{WORD}\\' \\\\{WORD}",
    f"'a\\{HOT}'": f"'a\\'{WORD}''",
    f'$"a {HOT}"': f'$"a {TEXT}"',
    # inside $(…), which is read like a command of its own, at any depth
    f"a $(b {HOT})": f"a $(b {WORD})",
    f'a "$(b {HOT} "{HOT}" \'{HOT}\')"': f"a \"$(b {WORD} \"{TEXT}\" ''{WORD}'')\"",
    f'"$( (a; (b)) "$(c ")" {HOT})" )" {HOT}': f'"$( (a; (b)) "$(c ")" {WORD})" )" {WORD}',
    f'"$(a # it\'s )\n{HOT})"': f'"$(a # it\'s )\n{WORD})"',
    f"$(echo just in case {HOT})": f"$(echo just in case {WORD})",
    f"diff <(a {HOT}) <(b ')')": f"diff <(a {WORD}) <(b ')')",
    # heredocs and here-strings
    f"cat <<EOF\n{HOT} '{HOT}' \"$(a {HOT})\"\nEOF\nb {HOT}": (
        f"cat <<EOF\n{TEXT} '{TEXT}' \"$(a {WORD})\"\nEOF\nb {WORD}"
    ),
    f"a <<A <<-B {HOT}\n{HOT}\nA\n\t{HOT}\n\tB\n": (
        f"a <<A <<-B {WORD}\n{TEXT}\nA\n\t{TEXT}\n\tB\n"
    ),
    f'a "$(cat <<EOF\nit\'s {HOT} )\nEOF\n)"': f'a "$(cat <<EOF\nit\'s {TEXT} )\nEOF\n)"',
    f"(cat <<E)\n{HOT}\nE": f"(cat <<E)\n{TEXT}\nE",
    f"cat <<E; a\n$\\{{x}} it's\nE\n'{HOT}'": f"cat <<E; a\n$\\{{x}} it's\nE\n''{WORD}''",
    f"cat <<<{HOT}": f"cat <<<{WORD}",
    # comments: nothing is filled in, and quotes in them open nothing
    f"# it's {HOT}\na {HOT}": f"# it's {HOT}\na {WORD}",
    f"a;#'\nb#' {HOT}'": f"a;#'\nb#' '{WORD}''",
    f"a $# {HOT}": f"a $# {WORD}",
    # the rest of the language around it
    f"case {HOT} in {{step}}) a {HOT};; *) b ')';; esac": (
        f"case {WORD} in \"${{OPENLOOP_STEP}}\") a {WORD};; *) b ')';; esac"
    ),
    f"for x in {HOT}; do a $x; done": f"for x in {WORD}; do a $x; done",
    f"f() {{ a {HOT}; }}; f": f"f() {{ a {WORD}; }}; f",
    f"a \\\n  {HOT} && \\\n  b": f"a \\\n  {WORD} && \\\n  b",
    f"[ -n {HOT} ] && echo [{HOT}] [0-9]{HOT}": f"[ -n {WORD} ] && echo [{WORD}] [0-9]{WORD}",
    f"a[1]={HOT}": f"a[1]={WORD}",
    f"a `b '\"' \\`c\\`` {HOT}": f"a `b '\"' \\`c\\`` {WORD}",
    f"a $'it\\n' {HOT}": f"a $'it\\n' {WORD}",
    f'a $((1 + (2) * $x)) "${{x:-"b c"}}" ${{x%"$y"}} {HOT}': (
        f'a $((1 + (2) * $x)) "${{x:-"b c"}}" ${{x%"$y"}} {WORD}'
    ),
    f'a "$$" $! ${{#x}} "^a$" {HOT}': f'a "$$" $! ${{#x}} "^a$" {WORD}',
}

BARE = {
    "a $'b\\n{round}'": "a $'b\\n7'",
    "a `b {round} {step}`": "a `b 7 fix`",
    "a $(( {round} + 1 ))": "a $(( 7 + 1 ))",
    "(( x = {round} ))": "(( x = 7 ))",
    "a ${x:-{round}}": "a ${x:-7}",
    'a ${x:-"{round} b"}': 'a ${x:-"7 b"}',
    "a \\{round}": "a \\7",
    "cat <<'EOF'\n$x {round}\nEOF": "cat <<'EOF'\n$x 7\nEOF",
    "a[{round}]=1": 'a["${OPENLOOP_ROUND}"]=1',
    "a $(( $(b {round}>c) ))": 'a $(( $(b "${OPENLOOP_ROUND}">c) ))',
}

UNTOUCHED = (
    "",
    "awk '{print $1}' ${HOME} {unknown} {} {a,b} $round {Round} { round }",
    'curl -d \'{"a": {"b": [1]}}\'',
    "echo ${round} \"${workspace}\" '${step}'",
    "echo 'unterminated",
    'echo "$(case x in x) ',
    "cat <<EOF\nno end",
    "[[ a =~ b ]] && ((x++)) && a[`b`]=$[1] $'\\''",
    "\\",
    "a\0b",
    "\udcff ü \n\t",
)

LITERAL = {
    "echo {{round}}": "echo {round}",
    "'{{last_error}}' {{x}} {{ round }}": "'{last_error}' {{x}} {{ round }}",
    "echo '{{round}} {{step}} unterminated": "echo '{round} {step} unterminated",
    "echo {{round}} {round}": 'echo {round} "${OPENLOOP_ROUND}"',
}

REFUSED = {
    Place.BACKSLASH: (f"a \\{HOT}", f'"\\{HOT}"', f"cat <<E\n\\{HOT}\nE"),
    Place.SUBSCRIPT: (f"a[{HOT}]=1", f'a["{HOT}"]=1', f"a[$(b {HOT})]=1", f"a=([{HOT}]=1)"),
    Place.ANSI: (f"a $'{HOT}'", f"a $'b\\n{HOT}'"),
    Place.BACKTICKS: (f"`{HOT}`", f"\"a `b '{HOT}'`\"", f"cat <<E\n`a {HOT}`\nE"),
    Place.PARAMETER: (f"${{x:-{HOT}}}", f'"${{x:-"{HOT}"}}"', f"${{x:-$(a {HOT})}}"),
    Place.ARITHMETIC: (f"$(({HOT}))", f'"$((1+({HOT})))"', f"(({HOT}))", f"$(( $(a {HOT}) ))"),
    Place.HEREDOC: tuple(
        f"cat <<{word}\n{HOT}\nEOF" for word in ("'EOF'", '"EOF"', "\\EOF", "-'EOF'")
    ),
}

UNCERTAIN = {
    # what is open at the end, whatever follows
    f"a '{HOT}": "this ' is never closed",
    f'a "{HOT}': 'this " is never closed',
    f"{HOT} $(b": "this $( is never closed",
    f'{HOT} "$(b "c)': 'this " is never closed',
    f"{HOT} $(b # c)": "this $( is never closed",
    f"{HOT} $(b; (c)": "this $( is never closed",
    f"{HOT} ${{x:-b": "this ${ is never closed",
    f"{HOT} `b": "this ` is never closed",
    f"{HOT} $((1+1": "this $(( is never closed",
    f"{HOT} $'b": "this $' is never closed",
    f"{HOT} <<EOF": "this heredoc has no body",
    f"$(cat <<EOF {HOT})\nEOF": "this heredoc has no body",
    f"cat <<EOF\n{HOT}\n EOF": "this heredoc is never closed",
    f'"$(cat <<EOF\n{HOT}\nEOF)"': "this heredoc is never closed",
    # heredocs whose end or beginning is in doubt
    f"cat <<{HOT}\n{HOT}": "delimiter of this heredoc",
    f"cat <<E{HOT}\n{HOT}": "delimiter of this heredoc",
    f"cat <<E'O'F\n{HOT}\nEOF": "delimiter of this heredoc",
    f"cat <<\\\nEOF\n{HOT}\nEOF": "delimiter of this heredoc",
    f"cat <<EOF\r\n{HOT}\r\nEOF": "delimiter of this heredoc",
    f"cat <<EOF\na\\\nEOF\n{HOT}\nEOF": "may end too early",
    f"cat <<EOF\nE\\\nOF\n{HOT}\nEOF": "may end too early",
    "cat <<'fix'\n{step}\nfix\n": "may end too early",
    f"cat <<A 'b\nc' {HOT}\nA": "where the body of this heredoc begins",
    f"cat <<A \\\n{HOT}\nA": "where the body of this heredoc begins",
    f"cat <<A $(b\n) {HOT}\nA": "where the body of this heredoc begins",
    f"cat <<A\n$(b\nA\n{HOT})\nA": "this $( is never closed",
    # what dash and bash read differently
    f"$(case x in x) a;; esac) {HOT}": "the `)` of a pattern in `case`",
    f'"$(b; case "$(c)" \\\n in (x) a;; esac)" {HOT}': "the `)` of a pattern in `case`",
    f"[[ -n {HOT} ]]": "[[",
    f"a $[1] {HOT}": "$[",
    f"a $'b\\'c' {HOT}": "\\'",
    f"a $((b); c) {HOT}": ")",
    f"((b); c) {HOT}": ")",
    f"a !(b) {HOT}": "!(",
    f"a $\\\n(b) {HOT}": "$\\\\n",
    f"(\\\n(b)) {HOT}": "(\\\\n",
    f"a \\\n#b' {HOT}": "\\\\n#",
    f'a "$$(b)" {HOT}': "$$(",
    f"a ${{ b; }} {HOT}": "${",
    f'a "${{x:-it\'s}}" {HOT}': "}",
    f"a ${{x:-\\'}} {HOT}": "\\'",
    f'a $(("1")) {HOT}': '"',
    f"((1<<2)) {HOT}": "<<",
    "a $'\\x{round}'": "\\x{…}",
    # what an inert value would join
    "`a {round}>b`": "next to it",
    "`a $x{round}`": "next to it",
    "a $(( $x{round} ))": "next to it",
    # what is out of all reason
    f"a\0 {HOT}": "a NUL cannot be part of a command",
    "$(" * 50 + HOT + ")" * 50: "more than 40 constructs",
}

WARNED = {
    f"sh -c 'a {HOT}'": "`sh -c`",
    f'timeout 5 /bin/bash -euo pipefail -c "a {HOT}"': "`bash -euo pipefail -c`",
    f"find . | xargs sh -c 'a {HOT}'": "`sh -c`",
    f"python3.12 -I -c 'a({HOT})'": "`python3.12 -I -c`",
    f"perl -ne 'a {HOT}'": "`perl -ne`",
    f"su bob -c 'a {HOT}'": "`su bob -c`",
    f"x=1 eval a {HOT}": "`eval`",
    f'if ssh host "a {HOT}"; then b; fi': "`ssh`",
    f"trap 'a {HOT}' EXIT": "`trap`",
    f"awk -F: '/{HOT}/'": "`awk -F:`",
    f"sed -i 's/{HOT}/x/' f": "`sed -i`",
    f"declare -i x={HOT}": "`declare -i`",
    f"bash <<EOF\na {HOT}\nEOF": "`bash`",
    f"echo a {HOT} | sh": "`sh`",
    "echo ${round}": "${round} is a variable of the shell",
    "echo {worksapce}": "did you mean {workspace}?",
    "echo {projectroot}": "did you mean {project_root}?",
    "echo {ROUND}": "did you mean {round}?",
    "echo {promptfile}": "{promptfile} is left as it stands: did you mean {prompt_file}?",
    "echo {prompt}": "did you mean {prompt_file}?",
    "echo {prompt-file}": "did you mean {prompt_file}?",
    "echo {promptPath}": "did you mean {prompt_file}?",
    "echo {project}": "did you mean {project_root}?",
    "echo {last-error}": "did you mean {last_error}?",
    "echo {lasterr}": "did you mean {last_error}?",
}

UNSUSPICIOUS = (
    f"sh -c 'a \"$1\"' sh {HOT}",
    "sh -c 'a {round}'",
    f"bash -e {HOT}",
    f"bash run.sh -c {HOT}",
    f"a {HOT}; sh -c 'b'",
    f"git push {HOT}",
    f"awk '{{print $1}}' {HOT}",
    f"awk -v x={HOT} '{{print x}}'",
    f"cat <<EOF | grep x\n{HOT}\nEOF",
    f'agent -p "$(cat {HOT})"',
    "echo ${HOME} {a} {} {{round}} {error}",
    "awk '{print}' {root} {task} {prompts,files} ${prompt} '{ prompt }' {{prompt}} {work} {last}",
)


def render(command):
    return placeholders.render(command, round=7, step="fix")


class Rendering(unittest.TestCase):
    def test_reference_fits_the_quoting_of_its_place(self):
        for command, filled in FILLED.items():
            with self.subTest(ascii(command)):
                self.assertEqual(render(command), filled)
                self.assertEqual(placeholders.check(command), [])

    def test_inert_value_goes_in_bare_only_where_no_reference_can(self):
        for command, filled in BARE.items():
            with self.subTest(ascii(command)):
                self.assertEqual(render(command), filled)

    def test_command_without_a_placeholder_is_untouched(self):
        for command in UNTOUCHED:
            with self.subTest(ascii(command)):
                self.assertEqual(render(command), command)
                self.assertEqual(placeholders.check(command), [])

    def test_doubled_braces_stand_for_themselves(self):
        for command, filled in LITERAL.items():
            with self.subTest(ascii(command)):
                self.assertEqual(render(command), filled)

    def test_round_and_step_that_are_not_inert_are_a_mistake_of_the_caller(self):
        for number, step in ((-1, "fix"), (1, "FIX"), (1, ""), (1, "a b"), (1, "fix\n")):
            with self.subTest(number=number, step=step), self.assertRaises(ValueError):
                placeholders.render("", round=number, step=step)


class Refusing(unittest.TestCase):
    def test_each_place_where_a_value_cannot_be_made_safe(self):
        for place, commands in REFUSED.items():
            for command in commands:
                with self.subTest(ascii(command)):
                    (problem,) = placeholders.check(command)
                    what = f"{HOT} cannot be filled in safely {place}"
                    self.assertEqual((problem.what, problem.fix), (what, place.fix))
                    with self.assertRaises(placeholders.PlaceholderError):
                        render(command)

    def test_inert_values_are_not_refused_there(self):
        for place, commands in REFUSED.items():
            for command in commands:
                inert = command.replace(HOT, "{round}")
                with self.subTest(inert):
                    self.assertEqual(placeholders.check(inert), [], place)

    def test_context_that_is_not_certain(self):
        for command, what in UNCERTAIN.items():
            with self.subTest(ascii(command)):
                self.assertIn(what, placeholders.check(command)[-1].what)
                with self.assertRaises(placeholders.PlaceholderError):
                    render(command)

    def test_every_problem_is_reported_with_its_line_and_column(self):
        problems = placeholders.check(f"{{{{round}}}} `{HOT}`\n `{{workspace}} {HOT}`\n 'x")
        places = [(problem.line, problem.column) for problem in problems]
        self.assertEqual(places, [(1, 12), (2, 3), (2, 15), (3, 2)])
        self.assertEqual(problems[0].where, "line 1, column 12")
        self.assertTrue(all(problem.fix for problem in problems))

    def test_error_names_the_place_and_the_mend(self):
        with self.assertRaises(placeholders.PlaceholderError) as caught:
            render(f"a\n`{HOT}`")
        self.assertEqual(
            str(caught.exception),
            "error: {last_error} cannot be filled in safely inside `…`\n"
            "  in: line 2, column 2\n"
            "  fix: write $(…) instead of `…`",
        )


class Warnings(unittest.TestCase):
    def test_value_that_is_parsed_again_and_name_that_is_no_placeholder(self):
        for command, words in WARNED.items():
            with self.subTest(ascii(command)):
                (warning,) = placeholders.warnings(command)
                self.assertIn(words, warning)

    def test_what_is_not_suspicious(self):
        for command in UNSUSPICIOUS:
            with self.subTest(ascii(command)):
                self.assertEqual(placeholders.warnings(command), [])

    def test_command_that_is_refused_can_be_warned_of_too(self):
        self.assertEqual(len(placeholders.warnings(f"eval {HOT}; `{HOT}` 'x")), 1)


if __name__ == "__main__":
    unittest.main()
