package feed

// Lookup finds what a field of an indicator counts, and the short name of an exclusion or adjustment, for counts that come in no file.
// It reports false where the year has no such indicator, or nothing says what the field is.
func (n *Names) Lookup(code, field string) (measure Measure, short string, known bool) {
	m := n.meaning(code, field)
	return m.measure, m.short, m.reason == "" && m.cause == 0 && m.code == code
}
