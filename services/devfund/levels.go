package devfund

import (
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// below are the levels that money of a level goes down to: nation to systems, on to places and commissioners in whichever order they
// stand, and to PCNs and suppliers from any of these (chapter 2.2). PCNs and suppliers pass nothing on.
var below = map[devfundv1.AllocationLevel][]devfundv1.AllocationLevel{
	devfundv1.AllocationLevel_NATION: {devfundv1.AllocationLevel_SYSTEM},
	devfundv1.AllocationLevel_SYSTEM: {
		devfundv1.AllocationLevel_PLACE, devfundv1.AllocationLevel_COMMISSIONER, devfundv1.AllocationLevel_PCN, devfundv1.AllocationLevel_SUPPLIER_LINE,
	},
	devfundv1.AllocationLevel_PLACE: {
		devfundv1.AllocationLevel_COMMISSIONER, devfundv1.AllocationLevel_PCN, devfundv1.AllocationLevel_SUPPLIER_LINE,
	},
	devfundv1.AllocationLevel_COMMISSIONER: {
		devfundv1.AllocationLevel_PLACE, devfundv1.AllocationLevel_PCN, devfundv1.AllocationLevel_SUPPLIER_LINE,
	},
}

// checkLevel refuses an allocation of a level that cannot come out of the one above it.
func checkLevel(parent *store.AllocationRow, level devfundv1.AllocationLevel) error {
	if slices.Contains(below[parent.Level], level) {
		return nil
	}
	return levelWrong("an allocation of level %s cannot come out of %s, which is of level %s", level, parent.ID, parent.Level).
		With("level", level).With("parent_level", parent.Level)
}

func levelWrong(format string, args ...any) *fault.Fault {
	return fault.New(fault.Invalid, reasonAllocationLevelWrong, format, args...)
}

// checkChild refuses a request for an allocation that cannot come out of its parent, or whose level, holder and commissioner contradict
// one another. A nil parent is that of the nation.
func checkChild(parent, row *store.AllocationRow) error {
	nation := row.Level == devfundv1.AllocationLevel_NATION
	switch {
	case nation && (parent != nil || row.CommissionerCode != rules.England || row.HolderCode != rules.England):
		return levelWrong("what the nation holds comes out of nothing, and %s holds and accounts for it", rules.England)
	case nation:
		return nil
	case parent == nil:
		return levelWrong("an allocation of level %s comes out of another: name it", row.Level).At("parent_allocation_id", "the allocation it came out of")
	case parent.Year != row.Year || parent.FundCode != row.FundCode:
		return levelWrong("%s is %s of %s, and cannot give %s of %s", parent.ID, parent.FundCode, parent.Year, row.FundCode, row.Year)
	case row.Combined && !parent.Combined:
		return levelWrong("%s is for PCN development alone, and what comes out of it is too", parent.ID).At("combined", "false")
	case row.Level == devfundv1.AllocationLevel_COMMISSIONER && row.HolderCode != row.CommissionerCode:
		return levelWrong("%s holds what %s accounts for: what a commissioner holds it accounts for itself", row.HolderCode, row.CommissionerCode).
			At("commissioner_code", row.HolderCode)
	case row.CommissionerCode == rules.England && row.Level != devfundv1.AllocationLevel_SYSTEM:
		return levelWrong("a commissioner accounts for an allocation of level %s: name it", row.Level).At("commissioner_code", "who accounts for it")
	}
	return checkLevel(parent, row.Level)
}

// accountsItself tells whether who is given money of a level by a decision accounts for it: commissioners do, and systems as the
// bodies of that code.
func accountsItself(level devfundv1.AllocationLevel) bool {
	return level == devfundv1.AllocationLevel_COMMISSIONER || level == devfundv1.AllocationLevel_SYSTEM
}

// purposeOf is what an allocation is for that states nothing.
func purposeOf(asked devfundv1.AllocationPurpose) devfundv1.AllocationPurpose {
	if asked == devfundv1.AllocationPurpose_ALLOCATION_PURPOSE_UNSPECIFIED {
		return devfundv1.AllocationPurpose_GENERAL
	}
	return asked
}

func exists(held *store.AllocationRow) error {
	return fault.New(fault.Refused, reasonAllocationExists, "%s has an allocation of %s in %s for %s out of %s already, %s: revise that one",
		held.HolderCode, held.FundCode, held.Year, held.Purpose, fmt.Sprintf("%q", held.ParentID), held.ID).
		With("allocation_id", held.ID).With("holder_code", held.HolderCode)
}
