package core

import (
	"cmp"
	"context"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/core/internal/store"
)

// knownAt returns the moment whose knowledge is meant; 0 means now.
func (s *Service) knownAt(micros int64) int64 {
	if micros != 0 {
		return micros
	}
	return sqldb.Micros(s.db.Now())
}

func loadRates(ctx context.Context, q sqldb.Querier, knownAt int64) ([]rules.Rate, error) {
	rows, err := store.Rates(ctx, q, knownAt)
	if err != nil {
		return nil, err
	}
	out := make([]rules.Rate, len(rows))
	for i, row := range rows {
		out[i] = row.Rate
	}
	return out, nil
}

// loadSettings loads those of every commissioner: a successor goes by what its predecessors set for their months.
func loadSettings(ctx context.Context, q sqldb.Querier, knownAt int64) ([]rules.Setting, error) {
	rows, err := store.Settings(ctx, q, "", knownAt)
	if err != nil {
		return nil, err
	}
	out := make([]rules.Setting, len(rows))
	for i, row := range rows {
		out[i] = row.Setting
	}
	return out, nil
}

// decisions are what persons decided about payments of some PCNs, whoever leads them now.
type decisions struct {
	withholdings []rules.Withholding
	declarations []rules.Declaration
}

func loadDecisions(ctx context.Context, q sqldb.Querier, pcns []string, knownAt int64) (decisions, error) {
	var out decisions
	withheld, err := store.Withholdings(ctx, q, store.WithholdingFilter{PCNs: pcns, OpenOnly: true, KnownAt: knownAt})
	if err != nil {
		return out, err
	}
	for _, row := range withheld {
		out.withholdings = append(out.withholdings, row.Withholding)
	}
	declared, err := store.Declarations(ctx, q, store.DeclarationFilter{PCNs: pcns, State: store.Accepted, KnownAt: knownAt})
	if err != nil {
		return out, err
	}
	for _, row := range declared {
		out.declarations = append(out.declarations, row.Declaration)
	}
	return out, nil
}

// loadWaiting returns why a group was refused or withheld when it was last computed.
func loadWaiting(ctx context.Context, q sqldb.Querier, commissioners []string, asOf int64) (func(rules.Group) string, error) {
	type waiting struct{ month, payment, pcn, practice string }
	reasons := make(map[waiting]string)
	schedules, err := store.Schedules(ctx, q, store.ScheduleFilter{Commissioners: commissioners, ClosedBy: asOf})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(schedules, func(a, b store.ScheduleRow) int { return cmp.Compare(a.ClosedAt, b.ClosedAt) })
	for i := range schedules {
		for _, refusal := range schedules[i].Refusals {
			eachRefused(refusal, func(pcn, practice string) {
				reasons[waiting{refusal.GetForMonth(), refusal.GetPaymentCode(), pcn, practice}] = refusal.GetReason()
			})
		}
		for _, w := range schedules[i].Withheld {
			reasons[waiting{w.GetForMonth(), w.GetPaymentCode(), w.GetPcnCode(), w.GetPracticeCode()}] = w.GetReason()
		}
	}
	return func(g rules.Group) string {
		if g.PracticeCode != "" {
			if reason, found := reasons[waiting{g.ForMonth.String(), g.PaymentCode, "", g.PracticeCode}]; found {
				return reason
			}
		}
		return reasons[waiting{g.ForMonth.String(), g.PaymentCode, g.PCNCode, g.PracticeCode}]
	}, nil
}

// eachRefused calls fn for every PCN and every practice of a refusal.
func eachRefused(refusal *typev1.Refusal, fn func(pcn, practice string)) {
	for _, code := range refusal.GetPcnCodes() {
		fn(code, "")
	}
	for _, code := range refusal.GetPracticeCodes() {
		fn("", code)
	}
}
