package rules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/rules"
)

// FuzzScope checks that a scope takes in what was asked for and no more, and that its subjects are those of one commissioner and the nation.
func FuzzScope(f *testing.F) {
	catalogue := rules.Catalogue{"pcnfunding.core.v1.RateAdded": true, "pcnfunding.core.v1.ScheduleClosed": true, "pcnfunding.arrs.v1.ScheduleClosed": true}
	for _, types := range []string{
		"", "pcnfunding.core.v1.RateAdded", "pcnfunding.core.v1.*", "pcnfunding.core.v1.* pcnfunding.core.v1.RateAdded", "pcnfunding.*", "*", ">", "pcnfunding.core.v1.>",
		"pcnfunding.arrs.v1.* pcnfunding.core.v1.ScheduleClosed pcnfunding.core.v1.ScheduleClosed", ".*", "pcnfunding.core.v1.rateadded", "..",
	} {
		f.Add(types)
	}
	f.Fuzz(func(t *testing.T, text string) {
		asked := strings.Split(text, " ")
		scope, err := catalogue.Scope(asked)
		if err != nil {
			require.Equal(t, rules.ReasonEventTypeNotKnown, fault.ReasonOf(err))
			return
		}
		require.NoError(t, scope.Within(scope))
		for name := range catalogue {
			all := name[:strings.LastIndexByte(name, '.')] + ".*"
			require.Equal(t, slices.Contains(asked, name) || slices.Contains(asked, all), scope.Covers(name), name)
		}
		var subjects int
		for _, list := range scope.Subjects("QWE") {
			for _, subject := range list {
				require.True(t, strings.HasSuffix(subject, ".QWE") || strings.HasSuffix(subject, ".england"), subject)
			}
			subjects += len(list)
		}
		require.Equal(t, 2*len(scope), subjects)
	})
}
