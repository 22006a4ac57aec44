package register

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/files"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
	"github.com/pcnfunding/pcnfunding/services/register/internal/tables"
)

// seedActor stands in the audit log for the program itself.
const seedActor = "pcnfunding"

// seed loads the program's own table of commissioners as an ordinary load.
func (s *Service) seed(ctx context.Context) error {
	hash := tables.CommissionersSHA256()
	var held bool
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		held, err = store.HasLoad(ctx, q, rules.Commissioners, hash)
		return err
	})
	if err != nil || held {
		return err
	}
	table, err := tables.Commissioners()
	if err != nil {
		return err
	}
	var newest period.Date
	for _, c := range table {
		if c.Opened.After(newest) {
			newest = c.Opened
		}
	}
	rows := func(yield func(*files.Row, error) bool) {
		for i := range table {
			if !yield(&files.Row{Commissioner: &table[i]}, nil) {
				return
			}
		}
	}
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		load := store.Load{
			Load:     rules.Load{ID: loadID(rules.Commissioners, hash), Kind: rules.Commissioners, Source: tables.CommissionersSource, ExtractDate: newest},
			FileName: tables.CommissionersFile, SHA256: hash, RowsRead: int64(len(table)), RowsStored: int64(len(table)), LoadedBy: seedActor,
		}
		if err := tx.Lock(ctx, store.LockLoads); err != nil {
			return err
		}
		// Another process may have been first.
		if held, err := store.HasLoad(ctx, tx, rules.Commissioners, hash); err != nil || held {
			return err
		}
		if err := store.AddLoad(ctx, tx, &load, s.db.Now, func() error { return store.AddFacts(ctx, tx, load, rows) }); err != nil {
			return err
		}
		entry := audit.Entry{Actor: seedActor, Method: "seed", Resource: loadResource(load.ID), Summary: summaryOf(load)}
		if err := audit.Add(ctx, tx, entry); err != nil {
			return err
		}
		_, err := outbox.Add(ctx, tx, outbox.Event{Aggregate: aggregateOf(""), Message: &registerv1.LoadRecorded{Load: loadToProto(load)}})
		return err
	})
}
