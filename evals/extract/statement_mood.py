"""Classify the mood of a statement: whether its sentence asserts, denies, assumes, questions or merely reports the answer.

The mood is determined from the clause before the statement and the words directly after it, within bounded windows.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from evals.extract.lazy_pattern import lazy_pattern

Mood: TypeAlias = Literal["asserted", "negated", "conditional", "other", "asked"]
"""`other`: an answer attributed to someone else, an earlier guess, a format to reply in, or the answer to another question."""

MAX_CONTEXT_CHARS = 120
"""Maximum number of characters examined before a statement, in lower case, since IGNORECASE is three times as slow."""
_CLAUSE_END = lazy_pattern(
    r"(?:[.!?;](?=[\"'”’)*_]{0,3}\s)|[。；！？\n]|,(?=\s(?:and\s)?my\sfinal\b)|\bbut\b|\bhowever\b|但是?|然而|而是)"
)
_CONCESSION = lazy_pattern(
    r"\W*(?:(?:and|so|thus|hence)\s+)?(?:while|although|though|even\s+though|despite|whereas|unlike)\b[^,\n]{0,100},\s*"
)
"""As in "While C is tempting, "."""
_NEGATED = lazy_pattern(
    r"(?:\b(?:not|never|isn['’]t|wasn['’]t|aren['’]t|cannot|can['’]t|(?:do|does|did|would|could|should|wo)n['’]t|no|nor|neither|without|wrong|incorrect|false|invalid|another|doubt\w*|instead\s+of|rather\s+than)"
    r"|不|不要|不可|不该|切勿|避免|排除|非|别|勿|没有?|不是|不能|不应|并非|错误|而非)"
    r"(?:\s+(?:that|if|whether|say|think|believe|mean|sure|be|write|use|answer|pick|choose|select))?(?:\s+(?:the|our|my|this|an?|correct|right|best|final|only|possible|so|be))*[\s*_`\"'“(该的<]*$"
    r"|\bnot\s+(?:the|an?)\s(?:[a-z\d,-]{1,20}\s){0,2}(?:(?:regio|stereo|diastereo)?isomer|enantiomer|diastereomer|tautomer|compound|molecule|acid|ester|salt|structure)[\s*_`\"'“(:<]*$"
    r"|\b(?:doubt|unlikely|(?:not|n['’]t)\s+(?:say|think|believe|claim))(?:\s+that)?(?:\s+(?:it|this))?(?:['’]s|\s+(?:is|was|to\s+be|can\s+be|could\s+be))[\s*_`\"'“(]*$"
)
_CALLED_WRONG = lazy_pattern(
    r"^\W*(?:wrong|incorrect)(?:\s(?:answer|structure|molecule|smiles|formula|name|value|number|result|guess))?\s?[:：][\s*_`\"'“(<]*$|错误(?:答案)?[:：][\s*_`]*$"
)
"""As in "Wrong: X"."""
_NOT_NEGATED = lazy_pattern(
    r"\b(?:not\s+only|no\s+doubt|without\s+(?:a\s+)?doubt|wait,?\s+no|oh\s+no|^\W*no)\W*$", re.IGNORECASE
)
_CONDITION = lazy_pattern(
    r"(?:\b(?:if|let(?!\s+(?:us|me)\b|['’])|whether|unless|suppos\w+|assum(?:e|es|ed|ing)|imagin\w+|e\.g\.|for\s+(?:example|instance)|could|might|may|perhaps\s+if|say\s+that|in\s+case|would\s+have)\b[^,]{0,60}$"
    r"|(?:如果|假设|假如|假若|若是?|要是|倘若|例如|比如|可能(?!的)|或许)[^。；\n]{0,40}$)"
)
_OTHER_CASE = lazy_pattern(
    r"(?:[,;]\s*(?:(?:and|while|whereas)\s)?|\s(?:and|while|whereas)\s)(?:for|when|at)\s[^,;]{1,40}$"
)
_FIRST_CASE = lazy_pattern(r"(?:^|[,;:])\s*(?:for|when|at)\s[^;]*\bis\b")
"""As in "for n = 3 the answer is C, for n = 4 the answer is D"."""
_COUNTERFACTUAL = lazy_pattern(
    r"(?:\b(?:if|without|otherwise|had\s+(?:we|it|the))\b|^\W*were\s|(?:^|\band\b|[,:])\W*(?:in\s+(?:the\s+)?absence|ignoring|neglecting|under|for|with)\b)"
)
_IF_CLAUSE_START = lazy_pattern(r"(?:^|\b(?:and|so)\s|[,:]\s?)\W*(?:if|had|were)\b")
_BEFORE_GUESS = lazy_pattern(
    r"\bif\s(?:i|we)\s(?:(?:had|have|must|were\sforced|am\sforced)\s)?(?:to\s)?(?:guess|choose|pick|estimate|answer|commit|bet)\b(?:\s(?:one|a\s(?:value|number)))?,?|\bif\spressed,?|如果(?:必须|一定要|非要)(?:选择?|猜|回答)(?:一个)?[,，]?"
)
"""As in "if I had to guess", which is not a condition."""
_WOULD_BEFORE = lazy_pattern(
    r"\b(?:would|['’]d)\s+(?:be|have\s+been|give|become|equal|read|reach|point|hold|mark|show)\b[^.]{0,20}$"
)
_WOULD_AFTER = lazy_pattern(r"[\s*_)\]}$\"'”’`]{0,6}would\s+(?:be|have\s+been)\s", re.IGNORECASE)
"""As in "If it were a ketone, B would be right"."""
_OTHER_ANSWER = lazy_pattern(
    r"\b(?:(?:common|typical|frequent|usual|easy|classic)\s+(?:mistake|error|misconception|trap|wrong|incorrect)|misconception|distractor|mistake|tempt"
    r"|(?:some|many|most|several|other|certain)\s+(?:people|students?|readers?|candidates?|sources?|textbooks?|models?|test-takers?|might|may|would|will|could)\b"
    r"|(?:students?|people|others|readers|candidates|beginners|learners|colleagues?|friends?|someone|somebody|one|you|they|he|she)\s+(?:often|usually|sometimes|commonly|frequently|typically|wrongly|mistakenly|might|may|could|would|will|say|said|think|claim|argue|believe|report|pick|choose|select|guess|miss)"
    r"|\b(?:some|many|most|others)\s+(?:say|think|claim|argue|believe|pick|choose)\b|(?:some|many|most)\s+\w+\s+(?:would|will|might)\s+(?:say|pick|choose|answer|guess|think)\b"
    r"|(?:question|problem|task|prompt)\s+(?:says|states|claims|asserts)\s+(?:that\s+)?(?:it|this)\s+is\b"
    r"|(?<!\bi )(?:insist|claim|argue|maintain|assert|allege)s?\b|(?<!\bi )(?<!\bsecond )(?:insisted|claimed|argued|said|thought|believed|thinks|believes)\b"
    r"|\bsays\s+(?:that\s+)?(?:the\s+(?:correct\s+)?answer|it['’]?s?)\b|\bsays\s+(?:that\s+)?(?:the\s+)?$|\baccording\s+to\s+(?:(?:the|a|an|my|some|one|his|her)\s+)?(?:\w+\s+)?(?:forum|blog|website|web|internet|post|friend|classmate|colleague|tutor|teacher|answer\s+key|key)\b"
    r"|(?:second|next|third)[- ]?(?:best|closest|likeliest|most)|runner-up|alternative"
    r"|(?:initial|first|earlier|previous|original|naive|old|former|published|reported|his|her|their|your|student['’]s|someone['’]s)\s+(?:\w+\s+)?(?:answer|guess|thought|attempt|choice|instinct|impression|intuition|idea|result|value)"
    r"|(?:initially|originally|previously|earlier|at\s+first|naively)\b"
    r"|i\s+(?:first|initially|originally|previously)|was\s+tempted|format\b|template\b|instruct|placeholder"
    r"|(?:for|of|to|in)\s+(?:the\s+)?(?:(?:part|step|item|subquestion|subpart)\s*\(?(?:[b-h]|[2-9]|i{1,3}|iv|v)\b|(?:next|other|previous|second|following|follow-?up|related|bonus|original|similar|last)\s+(?:part|question|problem|exercise|case|item))"
    r"|(?:answer|choice)\s+(?:really\s+|strongly\s+)?depends\b)"
    r"[^.。;；\n]{0,90}$"
    r"|\b(?:students?|readers|someone|somebody|anyone|those|test-takers|defenders?|proponents?|supporters?|advocates?|critics?|opponents?)\s(?:who|of|\w+ing)\b[^.,;\n]{0,80}\b(?:would|might|may|could|will|often|usually)\b[^.,;\n]{0,40}$"
    r"|\b(?:some|many|(?<!the\s)others|they|people|students)\s*$"
    r"|\b(?:an?|the|my|our|one|very)\s+(?:initial|first|earlier|previous|former|naive|tempting|common|popular|frequent|typical|usual)\s*(?:(?:answer|choice|option|pick)\b[^.,;\n]{0,20})?$"
)
_DEPENDS = lazy_pattern(r"\W*(?:it|that)\s+(?:really\s+)?depends\s+on\b[^.:]{0,60}:[^.。;；\n]{0,90}$")
"""As in "It depends on the solvent: in water"."""
_INSTRUCTS = lazy_pattern(
    r"(?<!the\s)(?<!\bi\s)(?<!\bwe\s)(?<!['’]d\s)(?<!['’]ll\s)(?<!would\s)(?<!\bi\swill\s)\b(?:write|reply|respond|answer|finish|end|close)s?\s+(?:\w+\s+){0,4}?(?:with|as|like|in|using)"
    r"(?:[\s:：\"'“(*`]+(?:the|an?|this|that|your|following|exact|last|final|format|form|line|sentence|phrase|words?|of))*[\s:：\"'“(*`]*$"
)
"""As in 'reply in the form "ANSWER: X"'."""
_OTHER_ANSWER_CHINESE = lazy_pattern(
    r"(?:错选|误选|易错|常见错误|常见误区|有人|有的同学|有些|很多人|许多|同学|学生|容易选|最初|起初|原来|一开始|之前|第一反应|误认为|误以为|干扰项|乍一?看|表面上|看上去|上一题|下一题|另一题)"
    r"[^.。;；\n]{0,90}$"
)
"""Chinese for "wrongly choose", "common mistake", "some people", "at first", "distractor", "the next question" and the like."""
_RIGHT_ONE_CHINESE = lazy_pattern(r"[,，]\s*(?:但|而|其实)?(?:正确|真正)的?(?:答案?|选项?)?$")
"""As in "B is a distractor, the right answer"."""
_WRONG_AFTER = lazy_pattern(
    r"[\s*_)\]}$\"'”’`.,，]{0,6}(?:(?:is|are|was|were|would\s+be|seems|looks)(?:\s+(?:also|only|therefore|clearly|definitely|just))?\s+(?:not|incorrect|wrong|false|partially|partly|a\s+distractor|tempting|too|impossible|ruled)\b"
    r"|(?:is|was|are)n['’]t\b|(?:does|do|can|would|could|did)(?:n['’]t|\s*not)\b|fails?\b|(?:can|must|should)\s+be\s+(?:ruled|excluded|eliminated|rejected)"
    r"|at\s+first\s?[.,;]"
    r"|(?:is|was)\s+(?:(?:only|just)\s+)?one\s+(?:possibility|option|candidate|guess)[,;]?\s+but\b"
    r"|(?:is|was)\s+what\s+(?:(?:the|an?|some|many|most|other)\s+)?(?:students?|people|textbooks?|sources?|beginners?|models?|one)\b"
    r"|,?\s+which\s+(?:is|was)\s+(?:(?:known\s+to\s+be|clearly|obviously|certainly|of\s+course)\s+)?(?:wrong|incorrect|false|too\s+(?:low|high|small|large))\b"
    r"|[.,;\s–—-]{1,4}(?:(?:no|wait|hmm|oops)[,.\s]+){0,3}(?:that|this|it)(?:['’]s|\s+is|\s+was)\s+(?:wrong|incorrect|not\s+(?:right|correct))"
    r"|(?:是|为)?(?:错误?|不对|不正确|不成立|错的|不符))",
    re.IGNORECASE,
)
_CLOSING_TAG = lazy_pattern(r"[ \t`*.]{0,4}</[A-Za-z]{1,20}>")
_ASKED_AFTER = lazy_pattern(r"[\s*_)\]}$\"'”’`]{0,6}[?？]")


def mood(text: str, begin: int, end: int, *, link: str = "") -> Mood:
    """Return the mood of a statement that begins at `begin` and whose answer ends at `end`.

    `link` is the text between the first word and the answer; if it contains "would", a phrase such as "without X" before it
    is a condition.
    """
    clause = context = text[max(0, begin - MAX_CONTEXT_CHARS) : begin].lower()
    for clause_end in _CLAUSE_END.finditer(context):
        clause = context[clause_end.end() :]
    if "if " in clause or "如果" in clause:
        clause = _BEFORE_GUESS.sub("", clause)
    if concession := _CONCESSION.match(clause):
        clause = clause[concession.end() :]
    if clause and not clause.isspace():
        if (_NEGATED.search(clause) and not _NOT_NEGATED.search(clause)) or _CALLED_WRONG.search(clause):
            return "negated"
        if _OTHER_ANSWER.search(clause) or _DEPENDS.match(clause) or _INSTRUCTS.search(clause):
            return "other"
        if (
            not clause.isascii()
            and _OTHER_ANSWER_CHINESE.search(clause)
            and not _RIGHT_ONE_CHINESE.search(clause + text[begin : begin + 2])
        ):
            return "other"
        if _CONDITION.search(clause) or ("would" in link and _COUNTERFACTUAL.search(clause)):
            return "conditional"
        if (other_case := _OTHER_CASE.search(clause)) and _FIRST_CASE.search(clause, 0, other_case.start()):
            return "conditional"
        if _IF_CLAUSE_START.search(clause) and (
            _WOULD_BEFORE.search(clause) or _WOULD_AFTER.match(text, end)
        ):
            return "conditional"
    if closing_tag := _CLOSING_TAG.match(text, end):
        end = closing_tag.end()
    if _ASKED_AFTER.match(text, end):
        return "asked"
    return "negated" if _WRONG_AFTER.match(text, end, end + 60) else "asserted"


_CONDITIONAL_ANSWER = lazy_pattern(
    r"[^\s;]{1,24},?\s+(?:only\s+)?(?:if|unless)\s+(?!(?:i|my|you|we)\b)|\S{1,24}(?:[,;]\s+(?:(?:and|while|whereas)\s)?|\s(?:and|while|whereas)\s)(?:for|when|at|in(?=[^,;\n]{1,50}\sis\s[*_(]{0,3}(?-i:[A-J])\b))\s[^,;\n]{1,40}?\s(?:it|the\s+answer)\s+is\b|\S{1,6}(?:라고\s*\S{1,3}\s*수|일\s*수|라면|인지)|\S{1,14}かもしれ|[^,\n]{1,24},\s*也(?:有)?可能|[*_(]{0,3}(?-i:[A-J])[)*_]{0,3}(?:\s(?:when|in|for|at|with)\s[^,.;\n]{1,60})?[,;]\s+(?:otherwise|else)[,\s]",
    re.IGNORECASE,
)
"""As in "B if the reaction is reversible" and "B，也可能是C"."""
_HYPOTHETICAL_ANSWER = lazy_pattern(
    r"\S{1,24},?\s+(?:under|assuming|without|in\s+the\s+(?:case|absence|presence))\s(?!(?:these|this|the\s+given)\b)",
    re.IGNORECASE,
)
"""After "would be", as in "B under another convention"."""


_CONDITION_BEFORE = lazy_pattern(
    r"(?:^|[.;:!?\n]\s*)[*_]*(?:(?:for\s+(?:example|instance)|similarly|likewise|conversely|however|and|but|so|thus|hence|therefore),?\s+)?(?:if|unless|provided|providing|as\s+long\s+as|so\s+long\s+as|in\s+case|only\s+if)\b"
    r"(?!\s+(?:(?:that\s+)?(?:i|we|you(?!\s(?:meant?|assumed?|ignored?|neglect(?:ed)?|wanted)\b)|one|anything|so)\b|(?:forced|pressed|pushed|asked|necessary|needed)\b))[^.;:!?\n]*,\s*(?:then\s+)?(?:the\s+)?(?:\w+\s+)?$"
    r"|(?:^|[.;:!?\n]\s*)(?:suppose|assume|imagine)\b[^.;:!?\n]*\.\s+then,?\s+(?:the\s+)?(?:\w+\s+)?$",
    re.IGNORECASE,
)
"""As in "Provided that light is present, the correct", before "answer is B"."""
_LETTER = lazy_pattern(r"[*_$(\[]{0,3}(?:(?i:option|choice)\s+[*_(]{0,3})?[A-J](?![\w=^/]|\s*[=+])")


def is_conditional_answer(text: str, begin: int, end: int, *, noun_begin: int, link: str) -> bool:
    """Return whether the answer from `begin` to `end`, after a noun and a link such as "is", has a condition.

    A condition before the noun only counts for an option: "If each side is 4, the answer is 16" repeats the question.
    """
    return bool(
        _CONDITIONAL_ANSWER.match(text, begin, end)
        or (
            _LETTER.match(text, begin, end)
            and _CONDITION_BEFORE.search(text, max(0, noun_begin - MAX_CONTEXT_CHARS), noun_begin)
        )
        or ("would" in link and _HYPOTHETICAL_ANSWER.match(text, begin, end))
    )
