package devfund

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

// heir returns a context to read in: what bodies left that pay nobody any more is seen by whoever took over what they owed, as if it held
// them. Nothing is to be changed in it, and nothing asked of the register. Of a year it looks at that one, of none at all in which CCGs had
// money of the fund.
func (s *Service) heir(ctx context.Context, year string) (context.Context, error) {
	by := caller(ctx)
	if by.HoldsEngland() || len(by.Commissioners) == 0 {
		return ctx, nil
	}
	var days []period.Date
	for of := rules.FirstYear; of <= firstICBMonth.FinancialYear(); of++ {
		if year == "" || year == of.String() {
			days = append(days, membersOn(of))
		}
	}
	left, err := s.leftTo(ctx, by.Commissioners, days)
	if err != nil || len(left) == 0 {
		return ctx, err
	}
	by.Commissioners = append(slices.Clone(by.Commissioners), left...)
	return auth.With(ctx, by), nil
}

// leftTo returns the bodies that owed on some days what commissioners have taken over, by code, without those that still lead networks today.
func (s *Service) leftTo(ctx context.Context, commissioners []string, days []period.Date) ([]string, error) {
	var mu sync.Mutex
	var left []string
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, commissioner := range commissioners {
		for _, day := range days {
			group.Go(func() error {
				snapshot, err := s.register.GetSnapshot(within, &registerv1.GetSnapshotRequest{CommissionerCode: commissioner, MembershipDate: day.String()})
				if err != nil {
					return unlessFor(noneOrFail(err), auth.ReasonNotFound)
				}
				mu.Lock()
				defer mu.Unlock()
				left = append(left, snapshot.GetDebtorCodes()...)
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	left = slices.DeleteFunc(sorted(left), func(code string) bool { return slices.Contains(commissioners, code) })
	if len(left) == 0 {
		return nil, nil
	}
	leading := make(map[string]string)
	if err := s.payersOn(ctx, period.DateOf(s.db.Now()), leading); err != nil || len(leading) == 0 {
		return nil, err
	}
	return slices.DeleteFunc(left, func(code string) bool { _, leads := leading[code]; return leads }), nil
}

// readAsHeir reads as the caller, and where there is nothing that the caller may see, as the heir of those that left it.
func (s *Service) readAsHeir(ctx context.Context, read func(ctx context.Context) error) error {
	err := read(ctx)
	if wrong, is := fault.As(err); !is || wrong.Kind != fault.NotFound {
		return err
	}
	within, failed := s.heir(ctx, "")
	if failed != nil {
		return failed
	}
	if len(caller(within).Commissioners) == len(caller(ctx).Commissioners) {
		return err
	}
	return read(within)
}

// yearly is a request for a page of what commissioners account for, of one year or of all.
type yearly interface {
	GetCommissionerCode() string
	GetFinancialYear() string
}

// listing is the context that a page is read in. What the caller holds itself it reads as itself.
func (s *Service) listing(ctx context.Context, req yearly) (context.Context, error) {
	if code := req.GetCommissionerCode(); code == rules.England || caller(ctx).HoldsCommissioner(code) {
		return ctx, nil
	}
	year, err := listedYear(req.GetFinancialYear())
	if err != nil {
		return ctx, err
	}
	return s.heir(ctx, year)
}
