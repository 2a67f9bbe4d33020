"""Mistakes in the question that every set has: find the false claim in a report."""

FALSE_CLAIM = {
    "a true claim": ([("true_value = number, found", "true_value = number % len(REPORT) + 1, found")], "is true"),
    "the sentence": ([("true_value = number, found", "true_value = claim, found")], "should be the number"),
    "counted from 0": ([("true_value = number, found", "true_value = 0, found")], "should be the number"),
    "the reported number": ([("true_value = number, found", "true_value = number, reported")], "of the report"),
    "a percentage": ([("true_value = number, found", "true_value = number, 100 * found")], "percentage"),
    "the other sign": ([("true_value = number, found", "true_value = number, -found")], "wrong sign"),
    "a text": ([("true_value = number, found", "true_value = number, str(found)")], "not right"),
    "no value": ([("true_value = number, found", "true_value = number, None")], "no number"),
}
