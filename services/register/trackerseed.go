package register

import (
	"context"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
	"github.com/pcnfunding/pcnfunding/services/register/internal/tables"
)

// seedTracker takes in the program's own requirements and calendar, each edition once. What a person recorded for all of England stands: a
// new edition of the program replaces only what an earlier one brought.
func (s *Service) seedTracker(ctx context.Context) error {
	hash := tables.TrackerSHA256()
	var held bool
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		held, err = store.HasEdition(ctx, q, hash)
		return err
	})
	if err != nil || held {
		return err
	}
	requirements, err := tables.Requirements()
	if err != nil {
		return err
	}
	items, err := tables.Calendar()
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, store.LockRequirements); err != nil {
			return err
		}
		// Another process may have been first.
		isNew, err := store.TakeEdition(ctx, tx, hash)
		if err != nil || !isNew {
			return err
		}
		versions, err := s.seedRequirements(ctx, tx, requirements)
		if err != nil {
			return err
		}
		added, err := seedItems(ctx, tx, items)
		if err != nil || versions+added == 0 {
			return err
		}
		return audit.Add(ctx, tx, audit.Entry{
			Actor: seedActor, Method: "seed", Resource: "requirements/" + hash,
			Summary: fmt.Sprintf("took in %d requirements and %d items of the calendar", versions, added),
		})
	})
}

func (s *Service) seedRequirements(ctx context.Context, tx *sqldb.Tx, requirements []rules.Requirement) (added int, err error) {
	held, err := store.Requirements(ctx, tx, "", "", everKnown)
	if err != nil {
		return 0, err
	}
	t := termsOf(held)
	for _, r := range requirements {
		before, found := t.inForce(r.ID, nil)
		if found && (before.RecordedBy != seedActor || before.Requirement == r) {
			continue
		}
		version := store.RequirementVersion{Requirement: r, RecordedBy: seedActor, Reason: "published dates that the program brings"}
		if err := store.AddRequirement(ctx, tx, &version, s.db.Now()); err != nil {
			return added, err
		}
		added++
	}
	return added, nil
}

func seedItems(ctx context.Context, tx *sqldb.Tx, items []rules.Item) (added int, err error) {
	held, err := store.Items(ctx, tx, nil, nil)
	if err != nil {
		return 0, err
	}
	latest := make(map[string]store.ItemChange, len(held))
	for _, c := range held {
		latest[c.ID] = c
	}
	for _, item := range items {
		before, found := latest[item.ID]
		was := before.Item
		was.Known = period.Date{}
		if found && (before.RecordedBy != seedActor || was == item) {
			continue
		}
		row := store.ItemChange{Item: item, Number: before.Number + 1, RecordedBy: seedActor, RecordedAt: tx.Now()}
		if err := store.AddItemChange(ctx, tx, row); err != nil {
			return added, err
		}
		added++
	}
	return added, nil
}
