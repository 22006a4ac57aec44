package main

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

// modelled heads whatever shows the claims of the sample: nobody has published real ones.
const modelled = "modelled from the published workforce; not actual claims"

// assumptions says what the model takes as given because the publication does not tell.
var assumptions = []string{
	"each published post of a reimbursable role is claimed for the whole month, by its published full-time equivalent",
	"it costs the month's maximum of the role to the penny, as 75% salary, 10% employer's National Insurance and 15% employer's pension",
	"everybody was in post on the census day, on the training pathway or at level 7 where the role asks for it, and in no baseline of March 2019",
	"that baseline is 0 for every role claimed, recorded as a decision of each commissioner for all its PCNs",
	"a service under contract is published as one row, and is claimed as posts of at most 1.0; of one person no more than 1.0 is claimed",
	"prices are national: who works in inner or outer London is not published",
}

// post is one published row.
type post struct {
	pcn, name             string
	group, role, detailed string
	contracted            bool
	fte                   *big.Rat
}

// readWorkforce reads the file of the sample.
func readWorkforce(packed []byte) ([]post, error) {
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack the workforce: %w", err)
	}
	rows := csv.NewReader(plain)
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("read the workforce: %w", err)
	}
	var out []post
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the workforce: %w", err)
		}
		cell := func(column string) string { return row[slices.Index(header, column)] }
		p := post{
			pcn: cell("PCN_CODE"), name: cell("PCN_NAME"), group: cell("STAFF_GROUP"), role: cell("STAFF_ROLE"), detailed: cell("DETAILED_STAFF_ROLE"),
			contracted: cell("Data_source") == "NWRS contracted services",
		}
		if p.fte, err = money.ParseDecimal(cell("FTE")); err != nil {
			return nil, fmt.Errorf("FTE of a post of %s: %w", p.pcn, err)
		}
		out = append(out, p)
	}
}

// publishedName is how the publication names a role.
type publishedName struct{ group, role, detailed string }

// model is what the claims of a month are made from.
type model struct {
	month, inPost string
	roles         map[publishedName]string // codes of reimbursable roles
	baseline      map[string]bool          // roles with a baseline of March 2019
	fullTime      map[string]*big.Rat      // hours a week
	annual        map[string]money.Pence   // yearly maximum
}

// modelledLine is a line of a claim.
type modelledLine struct {
	pcn, role, label    string
	hours               string
	salary, ni, pension money.Pence
	contracted, nurse   bool
}

// modelledClaims is what the model makes of the published posts.
type modelledClaims struct {
	byPCN map[string][]modelledLine
	names map[string]string // of PCNs, as published
	// others counts posts that are in no reimbursable role, tiny those of less than an hour a week, which the form does not take, and
	// capped the posts of one person above 1.0, with what is left out of them.
	posts, others, tiny, capped int
	cappedWTE                   *big.Rat
}

// withoutLines counts the PCNs of which no post is claimed.
func (c *modelledClaims) withoutLines() (n int) {
	for pcn := range c.names {
		if len(c.byPCN[pcn]) == 0 {
			n++
		}
	}
	return n
}

var one = big.NewRat(1, 1)

// claims turns posts into lines of claims.
func (m *model) claims(posts []post) (*modelledClaims, error) {
	out := &modelledClaims{byPCN: make(map[string][]modelledLine), names: make(map[string]string), cappedWTE: new(big.Rat)}
	numbers := make(map[string]int)
	for i := range posts {
		p := &posts[i]
		out.names[p.pcn] = p.name
		role := m.roles[publishedName{p.group, p.role, p.detailed}]
		if role == "" {
			out.others++
			continue
		}
		hour := new(big.Rat).Quo(one, m.fullTime[role])
		if p.fte.Cmp(hour) < 0 {
			out.tiny++
			continue
		}
		out.posts++
		parts := []*big.Rat{p.fte}
		switch {
		case p.fte.Cmp(one) > 0 && p.contracted:
			parts = divide(p.fte, hour)
		case p.fte.Cmp(one) > 0:
			out.capped++
			out.cappedWTE.Add(out.cappedWTE, new(big.Rat).Sub(p.fte, one))
			parts[0] = one
		}
		for _, fte := range parts {
			numbers[p.pcn+role]++
			line, err := m.line(p, role, fte, numbers[p.pcn+role])
			if err != nil {
				return nil, fmt.Errorf("a post of %s: %w", p.pcn, err)
			}
			out.byPCN[p.pcn] = append(out.byPCN[p.pcn], line)
		}
	}
	return out, nil
}

// divide makes posts of at most 1.0 out of a service; a rest of less than an hour is left out.
func divide(fte, least *big.Rat) (out []*big.Rat) {
	for left := new(big.Rat).Set(fte); left.Cmp(least) >= 0; left.Sub(left, one) {
		if left.Cmp(one) < 0 {
			return append(out, left)
		}
		out = append(out, one)
	}
	return out
}

const monthsOfYear = 12

// hoursDecimals is what the contract takes; the publication gives hours as parts of 37.5 with nine decimals.
const hoursDecimals = 4

// line makes the line of one post: its cost is the month's maximum for the hours that the line states.
func (m *model) line(p *post, role string, fte *big.Rat, number int) (modelledLine, error) {
	out := modelledLine{pcn: p.pcn, role: role, label: role + " " + strconv.Itoa(number), contracted: p.contracted, nurse: p.group == "Other Nurses"}
	hours, _ := new(big.Rat).SetString(new(big.Rat).Mul(fte, m.fullTime[role]).FloatString(hoursDecimals))
	out.hours = money.Format(hours)
	cost := new(big.Rat).Mul(m.annual[role].GBP(), hours)
	cost.Quo(cost, m.fullTime[role])
	// Rounded down, so that not even a part of a penny is above the maximum.
	total, err := money.RoundDown(cost.Quo(cost, big.NewRat(monthsOfYear, 1)))
	if err != nil {
		return out, err
	}
	out.ni, out.pension = total*10/100, total*15/100
	out.salary = total - out.ni - out.pension
	return out, nil
}

var claimColumns = []string{
	"pcn_code", "month", "label", "per_week", "salary", "employer_ni", "employer_pension", "notes", "role", "start_date", "recruitment_model", "on_pathway", "level_7",
	"nurse", "in_baseline",
}

// file writes the claims of some PCNs as a file of claims that also states the engagements.
func (m *model) file(claims *modelledClaims, pcns []string) ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write(claimColumns)
	for _, pcn := range pcns {
		for i := range claims.byPCN[pcn] {
			line := &claims.byPCN[pcn][i]
			asked := m.answers(line)
			notes, engaged := "", ""
			if i == 0 {
				notes = modelled
			}
			if line.contracted {
				engaged = arrsv1.RecruitmentModel_SUBCONTRACTED.String()
			}
			_ = w.Write([]string{
				pcn, m.month, line.label, line.hours, line.salary.Plain(), line.ni.Plain(), line.pension.Plain(), notes, line.role, m.inPost, engaged,
				asked["on_pathway"], asked["level_7"], asked["nurse"], asked["in_baseline"],
			})
		}
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

// answers are the facts that the role's rules ask for. Only whether an advanced practitioner is a nurse is published.
func (m *model) answers(line *modelledLine) map[string]string {
	out := make(map[string]string)
	switch line.role {
	case "CP":
		out["on_pathway"] = "yes"
	case "PARA":
		out["level_7"] = "yes"
	case "AP":
		out["level_7"], out["nurse"] = "yes", "no"
		if line.nurse {
			out["nurse"] = "yes"
		}
	}
	if m.baseline[line.role] {
		out["in_baseline"] = "no"
	}
	return out
}

// baselines are the roles of PCNs for which a baseline has to be recorded, in order.
func (m *model) baselines(claims *modelledClaims, pcns []string) (out []string) {
	for _, pcn := range pcns {
		for i := range claims.byPCN[pcn] {
			if line := &claims.byPCN[pcn][i]; m.baseline[line.role] {
				out = append(out, line.role)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
