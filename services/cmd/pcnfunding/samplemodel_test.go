package main

import (
	"bytes"
	"encoding/csv"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

func aModel() *model {
	return &model{
		month: "2022-10", inPost: "2022-09-30",
		roles: map[publishedName]string{
			{"DPC", "Pharmacists", "Pharmacist"}: "CP", {"DPC", "Paramedics", "Advanced"}: "AP", {"Other Nurses", "Nurses", "Advanced"}: "AP",
		},
		baseline: map[string]bool{"CP": true},
		fullTime: map[string]*big.Rat{"CP": big.NewRat(75, 2), "AP": big.NewRat(75, 2)},
		annual:   map[string]money.Pence{"CP": 59_312_00, "AP": 65_002_00},
	}
}

func published(pcn, role, fte string, contracted bool) post {
	value, err := money.ParseDecimal(fte)
	if err != nil {
		panic(err)
	}
	group, detailed := "DPC", "Pharmacist"
	switch role {
	case "Paramedics":
		detailed = "Advanced"
	case "Nurses":
		group, detailed = "Other Nurses", "Advanced"
	}
	return post{pcn: pcn, name: "Network " + pcn, group: group, role: role, detailed: detailed, contracted: contracted, fte: value}
}

func TestModel_ClaimsPublishedPostsAtTheirMaximum(t *testing.T) {
	t.Parallel()
	m := aModel()
	got, err := m.claims([]post{
		published("U1", "Pharmacists", "1", false), published("U1", "Pharmacists", "0.106666667", false), published("U1", "Pharmacists", "1.6", false),
		published("U1", "Pharmacists", "2.5", true), published("U1", "Pharmacists", "2.01", true), published("U1", "Pharmacists", "0.02", false),
		published("U1", "Managers", "1", false), published("U1", "Pharmacists", "-0.5", false), published("U2", "Managers", "1", false),
	})
	require.NoError(t, err)
	var hours []string
	for _, line := range got.byPCN["U1"] {
		hours = append(hours, line.hours)
	}
	require.Equal(t, []string{"37.5", "4", "37.5", "37.5", "37.5", "18.75", "37.5", "37.5"}, hours)
	require.Equal(t, []any{5, 2, 2, 1, "0.6"}, []any{got.posts, got.others, got.tiny, got.capped, got.cappedWTE.FloatString(1)})
	require.Equal(t, 1, got.withoutLines())
	full, part := got.byPCN["U1"][0], got.byPCN["U1"][1]
	require.Equal(t, money.Pence(4942_66), full.salary+full.ni+full.pension, "59,312 ÷ 12 = 4,942.666…")
	require.Equal(t, money.Pence(527_21), part.salary+part.ni+part.pension, "59,312 × 4 ÷ 37.5 ÷ 12 = 527.217…")
	require.Equal(t, []money.Pence{494_26, 741_39}, []money.Pence{full.ni, full.pension})
	require.Equal(t, []string{"CP"}, m.baselines(got, []string{"U1", "U2"}))
}

func TestModel_WritesAFileThatStatesTheEngagements(t *testing.T) {
	t.Parallel()
	m := aModel()
	got, err := m.claims([]post{published("U1", "Pharmacists", "1", true), published("U1", "Paramedics", "0.5", false), published("U1", "Nurses", "1", false)})
	require.NoError(t, err)
	content, err := m.file(got, []string{"U1", "U9"})
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	require.NoError(t, err)
	require.Equal(t, [][]string{
		claimColumns,
		{"U1", "2022-10", "CP 1", "37.5", "3707.01", "494.26", "741.39", modelled, "CP", "2022-09-30", "SUBCONTRACTED", "yes", "", "", "no"},
		{"U1", "2022-10", "AP 1", "18.75", "2031.31", "270.84", "406.26", "", "AP", "2022-09-30", "", "", "yes", "no", ""},
		{"U1", "2022-10", "AP 2", "37.5", "4062.63", "541.68", "812.52", "", "AP", "2022-09-30", "", "", "yes", "yes", ""},
	}, rows)
}

func TestReadWorkforce_ReadsTheSample(t *testing.T) {
	t.Parallel()
	content, err := sample.PublishedWorkforce().Read()
	require.NoError(t, err)
	posts, err := readWorkforce(content)
	require.NoError(t, err)
	pcns, wte := make(map[string]bool), new(big.Rat)
	for i := range posts {
		pcns[posts[i].pcn] = true
		wte.Add(wte, posts[i].fte)
	}
	require.Equal(t, []any{17_239, 1_105, "14149.3"}, []any{len(posts), len(pcns), wte.FloatString(1)}, "as the publication adds up")
}
