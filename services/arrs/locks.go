package arrs

import (
	"context"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// commissionerLock is held by what decides on all PCNs of a commissioner, and taken before any lock of a PCN.
func commissionerLock(code string) string { return "commissioner/" + code }

// pcnLock is held by whatever changes a PCN's money. Of several they are taken in order of code.
func pcnLock(code string) string { return "pcn/" + code }

// poolLock names the lock under which the unclaimed money of a commissioner's year is given up and awarded.
func poolLock(commissioner string, year period.FinancialYear) string {
	return "unclaimed/" + commissioner + "/" + year.String()
}

// lockPCNs takes the locks under which the pots of PCNs change, and those of the pools beside them, in the one order that all keep.
func lockPCNs(ctx context.Context, tx *change.Tx, pcns []string, pools ...string) error {
	keys := make([]string, len(pcns))
	for i, pcn := range pcns {
		keys[i] = pcnLock(pcn)
	}
	slices.Sort(keys)
	return tx.LockAll(ctx, append(slices.Compact(keys), pools...))
}
