package statement_test

import (
	"bytes"
	"encoding/csv"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/statement"
)

var update = flag.Bool("update", false, "write the golden files anew")

// samples are statements of every shape.
func samples() map[string]*statement.Statement {
	return map[string]*statement.Statement{"empty": empty(), "month": filled(), "year": year()}
}

func TestCSV_IsAsAgreed(t *testing.T) {
	t.Parallel()
	for name, s := range samples() {
		got, err := statement.CSV(s)
		require.NoError(t, err, name)
		golden := filepath.Join("testdata", name+".csv")
		if *update {
			require.NoError(t, os.WriteFile(golden, got, 0o600))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), name)
	}
}

// TestCSV_SumsToTheStatement holds that who adds up the rows of the file comes to the figures of the statement.
func TestCSV_SumsToTheStatement(t *testing.T) {
	t.Parallel()
	for name, s := range samples() {
		rows := table(t, s)
		require.Equal(t, s.Total, added(t, rows, "payment", "line")+added(t, rows, "correction", "line"), name)
		require.Equal(t, s.Opening, added(t, rows, "summary", "opening"), name)
		require.Equal(t, s.Closing, added(t, rows, "summary", "closing"), name)
	}
}

// table reads the CSV of a statement.
func table(t *testing.T, s *statement.Statement) []map[string]string {
	t.Helper()
	content, err := statement.CSV(s)
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	require.NoError(t, err)
	out := make([]map[string]string, 0, len(rows))
	for _, row := range rows[1:] {
		cells := make(map[string]string, len(row))
		for i, cell := range row {
			cells[rows[0][i]] = cell
		}
		out = append(out, cells)
	}
	return out
}

// added sums the amounts of one section and item.
func added(t *testing.T, rows []map[string]string, section, item string) (sum money.Pence) {
	t.Helper()
	for _, row := range rows {
		if row["section"] == section && row["item"] == item {
			pence, err := money.ParsePence(row["amount_gbp"])
			require.NoError(t, err)
			sum += pence
		}
	}
	return sum
}

func TestPDF_IsTheSameEachTime(t *testing.T) {
	t.Parallel()
	for name, s := range samples() {
		first, err := statement.PDF(s)
		require.NoError(t, err, name)
		require.True(t, bytes.HasPrefix(first, []byte("%PDF-")), name)
		again, err := statement.PDF(s)
		require.NoError(t, err, name)
		require.True(t, bytes.Equal(first, again), name)
	}
}

func TestPDF_GoesOverPages(t *testing.T) {
	t.Parallel()
	pages := func(s *statement.Statement) int {
		content, err := statement.PDF(s)
		require.NoError(t, err)
		return bytes.Count(content, []byte("/Type /Page\n"))
	}
	require.Equal(t, 1, pages(empty()))
	require.Equal(t, 2, pages(month()))
	require.Greater(t, pages(year()), 5)
}

func TestStatement_RefusesSumsThatDoNotAgree(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*statement.Statement){
		"total":     func(s *statement.Statement) { s.Total++ },
		"closing":   func(s *statement.Statement) { s.Closing-- },
		"line":      func(s *statement.Statement) { s.Payments[0].Amount++ },
		"settled":   func(s *statement.Statement) { s.Settled[1].Amount++ },
		"debt":      func(s *statement.Statement) { s.Recoveries[0].CarriedForward++ },
		"remaining": func(s *statement.Statement) { s.Entitlements[0].Remaining++ },
	} {
		s := filled()
		spoil(s)
		require.Panics(t, func() { _, _ = statement.CSV(s) }, name)
		require.Panics(t, func() { _, _ = statement.PDF(s) }, name)
	}
}

// TestCSV_StartsNoFormula holds that no name, however odd, fails a statement or starts a formula.
func TestCSV_StartsNoFormula(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		odd := rapid.OneOf(rapid.String(), rapid.SampledFrom(oddTexts()))
		s := filled()
		spoilTexts(s, func() string { return odd.Draw(rt, "text") })
		for _, row := range table(t, s) {
			for column, cell := range row {
				if cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
					_, err := money.ParseDecimal(cell)
					require.NoError(rt, err, "%s holds %q", column, cell)
				}
			}
		}
	})
}

func TestPDF_CarriesOddText(t *testing.T) {
	t.Parallel()
	for _, text := range oddTexts() {
		s := filled()
		spoilTexts(s, func() string { return text })
		_, err := statement.PDF(s)
		require.NoError(t, err, "%q", text)
	}
}

func oddTexts() []string {
	return []string{"=1+1", "+44", "-1", "@x", "\r\n", "\x00", "٣", "🩺", "\xff", "", long}
}

// spoilTexts puts other texts in the place of names.
func spoilTexts(s *statement.Statement, text func() string) {
	s.PCN.Name, s.Payee.Name = text(), text()
	s.Payments[0].PaymentName, s.Payments[0].Clause = text(), text()
	s.Notes = []string{text()}
}
