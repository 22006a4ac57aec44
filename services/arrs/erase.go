package arrs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// eraseBatch bounds the claims that one transaction reduces.
const eraseBatch = 200

// Upkeep does what falls due with time: it hands engagements to the commissioners that lead their PCNs in a year that has begun, and
// erases pay that is past its time.
func (s *Service) Upkeep(ctx context.Context) error {
	led := s.db.Write(ctx, func(tx *sqldb.Tx) error {
		moved, err := store.LeadEngagements(ctx, tx, "", s.runningYear())
		if err != nil {
			return err
		}
		for _, commissioner := range slices.Sorted(maps.Keys(moved)) {
			summary := fmt.Sprintf("took over %d engagements of PCNs that it leads in %s", moved[commissioner], s.runningYear())
			if err := change.System(tx, Name, "upkeep").Record(ctx, "arrs/engagements", commissioner, summary); err != nil {
				return err
			}
		}
		return nil
	})
	_, err := s.Erase(ctx)
	return errors.Join(led, err)
}

// Erase reduces claims that were decided or withdrawn longer ago than the commissioner keeps them to their totals, and returns how many.
// A claim of which approved money waits for a close is kept until it was closed.
func (s *Service) Erase(ctx context.Context) (int, error) {
	today := period.DateOf(s.db.Now())
	var due map[string]period.Date
	err := s.db.Read(ctx, func(q sqldb.Querier) error {
		due = make(map[string]period.Date)
		commissioners, err := store.EndedCommissioners(ctx, q)
		if err != nil {
			return err
		}
		for _, commissioner := range commissioners {
			settings, err := store.Settings(commissioner).All(ctx, q)
			if err != nil {
				return err
			}
			plain := make([]rules.Setting, len(settings))
			for i, setting := range settings {
				plain[i] = setting.Setting
			}
			if due[commissioner], err = rules.KeptSince(plain, commissioner, today); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	total := 0
	for commissioner, since := range due {
		for {
			n, err := s.eraseSome(ctx, commissioner, since)
			total += n
			if err != nil {
				return total, err
			}
			if n < eraseBatch {
				break
			}
		}
	}
	return total, nil
}

func (s *Service) eraseSome(ctx context.Context, commissioner string, since period.Date) (n int, err error) {
	err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
		// Two runs of the upkeep take turns, so that each claim is counted once.
		if err := tx.Lock(ctx, "erase/"+commissioner); err != nil {
			return err
		}
		claims, err := store.Erasable(ctx, tx, commissioner, sqldb.Micros(since.Time()), eraseBatch)
		if n = len(claims); err != nil || n == 0 {
			return err
		}
		if err := store.Erase(ctx, tx, claims, sqldb.Micros(tx.Now())); err != nil {
			return err
		}
		return change.System(tx, Name, "retention").Record(ctx, "arrs/claims", commissioner, fmt.Sprintf("reduced %d claims that ended before %s to their totals", n, since))
	})
	return n, err
}
