package iif

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// rework works years that are not approved out again, where what they rest on has changed. It returns how many came to another result.
// The caller holds the lock of what it changed, and none of a commissioner. Members and list stay as they were: only a calculation asks
// the register.
func (s *Service) rework(ctx context.Context, tx *change.Tx, c changed) (int, error) {
	rows, _, err := s.concerned(ctx, tx, &c, len(c.practices) > 0)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	codes := make([]string, len(rows))
	for i := range rows {
		codes[i] = rows[i].CommissionerCode
	}
	if err := lockCommissioners(ctx, tx, codes); err != nil {
		return 0, err
	}
	rows, results, err := s.concerned(ctx, tx, &c, true)
	if err != nil {
		return 0, err
	}
	bases := make([]basis, len(rows))
	for i := range rows {
		if bases[i], err = basisOf(results[rows[i].ResultID]); err != nil {
			return 0, err
		}
		bases[i].pcnName, bases[i].location, bases[i].commissioner = rows[i].PCNName, rows[i].LocationCode, rows[i].CommissionerCode
		bases[i].figures, bases[i].counts = latest, latest
	}
	all, err := s.workOut(ctx, tx, bases, sumsOnly)
	if err != nil {
		return 0, err
	}
	var added []store.ResultRow
	var taken []takenStep
	changedOf := make(map[string]int)
	for i := range all {
		if all[i].digest == results[rows[i].ResultID].Digest {
			continue
		}
		event := rules.Event{Step: rules.DataChanged, Cause: cmp.Or(c.cause, rules.DataAmended), By: rules.Actor{Person: tx.By.Subject, Role: rules.RoleSystem}}
		if c.national {
			event.By.Person = ""
		}
		step, result, err := s.newResult(tx, rows[i], event, c.words, &all[i])
		if err != nil {
			return 0, err
		}
		added, taken = append(added, *result), append(taken, *step)
		changedOf[rows[i].CommissionerCode]++
	}
	if err := write(ctx, tx, added, taken); err != nil {
		return 0, err
	}
	for _, code := range slices.Sorted(maps.Keys(changedOf)) {
		summary := fmt.Sprintf("worked %d years of %s out again: %s", changedOf[code], yearWords(c.year), cmp.Or(c.words, string(c.cause)))
		if err := tx.Record(ctx, yearResource(c.year, code), code, summary); err != nil {
			return 0, err
		}
	}
	return len(taken), nil
}

// concerned returns the years that are not approved and rest on what changed, in order of PCN, and their results if they are asked for.
func (s *Service) concerned(ctx context.Context, q sqldb.Querier, c *changed, withResults bool) ([]store.AchievementRow, map[string]store.ResultRow, error) {
	commissioner := c.commissioner
	if commissioner == rules.England {
		commissioner = ""
	}
	rows, err := store.OpenAchievements(ctx, q, c.year, commissioner, c.pcns)
	if err != nil || !withResults {
		return rows, nil, err
	}
	results, err := resultsOf(ctx, q, rows)
	if err != nil {
		return nil, nil, err
	}
	if len(c.practices) > 0 {
		practices := setOf(c.practices)
		rows = slices.DeleteFunc(rows, func(row store.AchievementRow) bool {
			return !slices.ContainsFunc(results[row.ResultID].Basis.GetPracticeCodes(), func(code string) bool { return practices[code] })
		})
	}
	return rows, results, nil
}

func setOf(codes []string) map[string]bool {
	out := make(map[string]bool, len(codes))
	for _, code := range codes {
		out[code] = true
	}
	return out
}
