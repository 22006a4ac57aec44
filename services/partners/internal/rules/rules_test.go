package rules_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/rules"
)

var catalogue = rules.Catalogue{
	"pcnfunding.core.v1.RateAdded": true, "pcnfunding.core.v1.ScheduleClosed": true,
	"pcnfunding.payments.v1.PaymentApproved": true, "pcnfunding.payments.v1.RunSubmitted": true,
}

func TestScope_NamesEachEventOnce(t *testing.T) {
	t.Parallel()
	scope, err := catalogue.Scope([]string{"pcnfunding.payments.v1.PaymentApproved", "pcnfunding.core.v1.RateAdded", "pcnfunding.core.v1.*", "pcnfunding.core.v1.*"})
	require.NoError(t, err)
	require.Equal(t, rules.Scope{"pcnfunding.core.v1.*", "pcnfunding.payments.v1.PaymentApproved"}, scope)
	require.Equal(t, []string{"core", "payments"}, scope.Services())
	require.Equal(t, map[string][]string{
		"core":     {"pcnfunding.core.v1.*.QWE", "pcnfunding.core.v1.*.england"},
		"payments": {"pcnfunding.payments.v1.PaymentApproved.QWE", "pcnfunding.payments.v1.PaymentApproved.england"},
	}, scope.Subjects("QWE"))
}

func TestScope_RefusesWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", ".", "*", "pcnfunding.*", "pcnfunding.core.v1.Rate", "pcnfunding.partners.v1.*", "pcnfunding.core.v1.>", "pcnfunding.core.v1.RateAdded.QHM",
		"pcnfunding.core.v1.*.*", "core.v1.RateAdded",
	} {
		_, err := catalogue.Scope([]string{name})
		require.Equal(t, rules.ReasonEventTypeNotKnown, fault.ReasonOf(err), name)
	}
}

func TestScope_IsWithinItselfAndCoversWhatItNames(t *testing.T) {
	t.Parallel()
	names := []string{"pcnfunding.core.v1.*", "pcnfunding.payments.v1.*"}
	for name := range catalogue {
		names = append(names, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		types := rapid.SliceOfN(rapid.SampledFrom(names), 1, 8).Draw(t, "types")
		scope, err := catalogue.Scope(types)
		require.NoError(t, err)
		require.NoError(t, scope.Within(scope))
		for _, name := range types {
			require.True(t, scope.Covers(name), name)
		}
		others, err := catalogue.Scope(rapid.SliceOfN(rapid.SampledFrom(names), 1, 8).Draw(t, "others"))
		require.NoError(t, err)
		if scope.Within(others) == nil {
			for name := range catalogue {
				require.True(t, !scope.Covers(name) || others.Covers(name), "%s is in %v and not in %v", name, scope, others)
			}
		}
	})
}

func TestPause_GrowsAndEnds(t *testing.T) {
	t.Parallel()
	var before, all time.Duration
	failures := 1
	for ; ; failures++ {
		pause, again := rules.Pause(failures)
		if !again {
			break
		}
		require.GreaterOrEqual(t, pause, before)
		before, all = pause, all+pause
	}
	require.Equal(t, 12, failures, "the twelfth failure is the last")
	require.Equal(t, 24*time.Hour, before)
	require.Less(t, all, rules.DisableAfter, "an event is given up before its webhook is disabled for it")
	_, again := rules.Pause(0)
	require.False(t, again)
}
