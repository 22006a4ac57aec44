package workforce_test

import (
	"bytes"
	"compress/gzip"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/services/arrs/internal/tables"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/workforce"
)

const header = "Data_source,CENSUS_YEAR,CENSUS_MONTH,PCN_CODE,PCN_NAME,SUB_ICB_CODE,SUB_ICB_NAME,ICB_CODE,ICB_NAME,COMM_REGION_CODE,COMM_REGION_NAME," +
	"STAFF_GROUP,STAFF_ROLE,DETAILED_STAFF_ROLE,FTE,UNIQUE_IDENTIFIER\r\n"

func row(pcn, role, detailed, fte string) string {
	return "NWRS Staff,2022,9," + pcn + ",NIGHTINGALE PCN,36L,\"NHS South West London ICB, 36L\",QWE,NHS South West London ICB,Y56,London," +
		"Other Direct Patient Care staff," + role + "," + detailed + "," + fte + ",106228\r\n"
}

func TestMappings_NameRolesOfTheScheme(t *testing.T) {
	t.Parallel()
	scheme, err := tables.Scheme()
	require.NoError(t, err)
	mappings, err := workforce.Mappings()
	require.NoError(t, err)
	for _, m := range mappings {
		if m.Code != "" {
			_, known := scheme.Role(m.Code)
			require.True(t, known, m.Code)
		} else {
			require.NotEmpty(t, m.Note, "why %v has no role", m.Name)
		}
	}
	code, known, err := workforce.RoleOf(workforce.Name{Group: "Other Direct Patient Care staff", Role: "Pharmacists", Detailed: "Pharmacist"})
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, "CP", code)
	_, known, err = workforce.RoleOf(workforce.Name{Group: "New", Role: "New", Detailed: "New"})
	require.NoError(t, err)
	require.False(t, known)
}

func TestRead_AddsUp(t *testing.T) {
	t.Parallel()
	text := header + row("U02454", "Pharmacists", "Pharmacist", "0.106666667") + row("U02454", "Pharmacists", "Pharmacist", "1") +
		row("U02454", "Paramedics", "Paramedic", "-0.026666667") + row("U00070", "Paramedics", "Clinical Director \x96 DPC", "0.5")
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	for _, content := range [][]byte{[]byte(text), packed.Bytes()} {
		file, err := workforce.Read(content)
		require.NoError(t, err)
		require.Empty(t, file.Bad)
		require.Equal(t, "2022-09", file.Month.String())
		require.Equal(t, 4, file.Posts)
		require.Equal(t, 2, file.PCNs)
		require.Len(t, file.Rows, 3)
		require.Equal(t, "Clinical Director – DPC", file.Rows[0].Detailed, "Windows-1252")
		require.Equal(t, 2, file.Rows[2].Posts)
		require.Zero(t, file.Rows[2].WTE.Cmp(big.NewRat(1_106_666_667, 1_000_000_000)), "exact")
		require.Len(t, file.Warnings, 1, "a published figure below nothing")
	}
	utf8 := "\ufeff" + strings.ReplaceAll(text, "\x96", "–")
	file, err := workforce.Read([]byte(utf8))
	require.NoError(t, err)
	require.Equal(t, "Clinical Director – DPC", file.Rows[0].Detailed)
}

func TestRead_NamesEachBadRow(t *testing.T) {
	t.Parallel()
	good := row("U02454", "Pharmacists", "Pharmacist", "1")
	text := header + good + row("02454", "Pharmacists", "Pharmacist", "1") + row("U02454", "Pharmacists", "", "x") + "a,b\r\n" +
		strings.Replace(good, ",2022,9,", ",2022,10,", 1) + strings.Replace(good, ",2022,9,", ",2022,13,", 1) + row("U02454", "Pharmacists", "Pharmacist", "101")
	file, err := workforce.Read([]byte(text))
	require.NoError(t, err)
	var found []string
	for _, bad := range file.Bad {
		found = append(found, string(rune('0'+bad.Line))+" "+bad.Column)
	}
	require.Equal(t, []string{"3 PCN_CODE", "4 DETAILED_STAFF_ROLE", "4 FTE", "5 ", "6 CENSUS_MONTH", "7 CENSUS_MONTH", "8 FTE"}, found)
	require.Equal(t, 1, file.Posts)
}

func TestRead_RefusesOtherFiles(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"empty": "", "no columns": "a,b\n1,2\n", "no rows": header, "binary": header + "\x00", "broken gzip": "\x1f\x8bxx", "column twice": strings.Replace(header, "Data_source", "FTE", 1),
	} {
		_, err := workforce.Read([]byte(content))
		require.ErrorIs(t, err, workforce.ErrFormat, name)
	}
}
