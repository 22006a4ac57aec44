package devfund

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// drawing makes a change of the suite's own, under the locks that an allocation's changes need.
func (s *Service) drawing(ctx context.Context, id string, fn func(tx *change.Tx) error) error {
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		c := change.System(tx, "test", "/test/draw")
		accounts, err := s.accountsOf(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := lockAccounts(ctx, c, accounts...); err != nil {
			return err
		}
		return fn(c)
	})
}

// Commit moves what plans have committed of an allocation.
func (s *Service) Commit(ctx context.Context, id string, delta int64) error {
	return s.drawing(ctx, id, func(tx *change.Tx) error { return s.commit(ctx, tx, id, money.Pence(delta)) })
}

// GiveBack returns unspent money to the system.
func (s *Service) GiveBack(ctx context.Context, id string, amount int64) error {
	return s.drawing(ctx, id, func(tx *change.Tx) error {
		return s.giveBack(ctx, tx, id, money.Pence(amount), "treatment of a test", "unspent")
	})
}

// CarryForward lets unspent money over into the next year.
func (s *Service) CarryForward(ctx context.Context, id string, amount int64) (into string, err error) {
	err = s.drawing(ctx, id, func(tx *change.Tx) error {
		into, err = s.carryForward(ctx, tx, id, money.Pence(amount), "treatment of a test", "unspent")
		return err
	})
	return into, err
}
