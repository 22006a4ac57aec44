package devfund

import (
	"context"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// addAllocation adds an allocation with the first statement of it.
func (s *Service) addAllocation(ctx context.Context, tx *change.Tx, row *store.AllocationRow, first *statement) error {
	if err := store.InsertAllocations(ctx, tx.Tx, *row); err != nil {
		return err
	}
	version, err := s.addVersion(ctx, tx, row, first)
	if err != nil {
		return err
	}
	if err := announceAllocation(ctx, tx, row, version); err != nil {
		return err
	}
	return tx.Record(ctx, "devfund/allocations/"+row.ID, row.CommissionerCode, fmt.Sprintf("recorded %s: %s", allocationWords(row), version.words()))
}

// addVersion adds a statement of an allocation, and leaves its sums as they are.
func (s *Service) addVersion(ctx context.Context, tx *change.Tx, row *store.AllocationRow, of *statement) (*versionRow, error) {
	held, err := store.Versions(ctx, tx, row.ID)
	if err != nil {
		return nil, err
	}
	version := versionOf(tx, row, of, len(held[row.ID])+1)
	return added(row, held[row.ID], version), store.InsertVersions(ctx, tx.Tx, version)
}

func versionOf(tx *change.Tx, row *store.AllocationRow, of *statement, number int) store.VersionRow {
	return store.VersionRow{
		AllocationID: row.ID, Number: number, Basis: of.basis, Amount: of.amount, Source: of.source, Confidence: of.confidence,
		KnownFrom: of.knownFrom, Reason: of.reason, RecordedBy: tx.By.Subject, RecordedAt: sqldb.Micros(tx.Now()),
	}
}

// versionRow is a statement that was added, and whether it stands.
type versionRow struct {
	store.VersionRow

	stands bool
}

// added is a statement that was added to those of an allocation.
func added(row *store.AllocationRow, held []store.VersionRow, version store.VersionRow) *versionRow {
	return &versionRow{version, amountsOf(row, append(slices.Clip(held), version), version.Basis).stands(&version)}
}

func (v *versionRow) words() string {
	basis := basisWords[v.Basis]
	if v.Amount == nil {
		return basis + " amount not known (" + v.Source + ")"
	}
	return fmt.Sprintf("%s amount %s (%s)", basis, v.Amount, v.Source)
}

var basisWords = map[devfundv1.AllocationBasis]string{
	devfundv1.AllocationBasis_PLANNED:   "planned",
	devfundv1.AllocationBasis_RELEASED:  "released",
	devfundv1.AllocationBasis_PCN_SHARE: "PCN development",
}

func allocationWords(r *store.AllocationRow) string {
	return fmt.Sprintf("%s of %s for %s, %s", r.FundCode, r.Year, r.HolderCode, r.Purpose)
}

// announceAllocation tells of an allocation that was made or has a new version.
func announceAllocation(ctx context.Context, tx *change.Tx, row *store.AllocationRow, version *versionRow) error {
	out, err := shown(ctx, tx, row)
	if err != nil {
		return err
	}
	event := &devfundv1.AllocationChanged{Allocation: out, Version: versionToProto(&version.VersionRow, version.stands)}
	_, err = tx.Announce(ctx, "allocation/"+row.ID, row.CommissionerCode, event)
	return err
}

// shown writes an allocation without its versions.
func shown(ctx context.Context, q sqldb.Querier, row *store.AllocationRow) (*devfundv1.Allocation, error) {
	out, err := shownAll(ctx, q, []store.AllocationRow{*row})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// shownAll writes allocations without their versions, which are loaded where an amount is missing, to say why.
func shownAll(ctx context.Context, q sqldb.Querier, rows []store.AllocationRow) ([]*devfundv1.Allocation, error) {
	var missing []string
	for i := range rows {
		if _, known := rows[i].Available(); !known {
			missing = append(missing, rows[i].ID)
		}
	}
	versions, err := store.Versions(ctx, q, missing...)
	if err != nil {
		return nil, err
	}
	out := make([]*devfundv1.Allocation, len(rows))
	for i := range rows {
		out[i] = allocationToProto(&rows[i], versions[rows[i].ID])
	}
	return out, nil
}

// allocationToProto writes an allocation; versions are all of it where an amount is missing.
func allocationToProto(r *store.AllocationRow, versions []store.VersionRow) *devfundv1.Allocation {
	out := &devfundv1.Allocation{
		AllocationId: r.ID, FinancialYear: yearWords(r.Year), FundCode: r.FundCode, Level: r.Level, HolderCode: r.HolderCode, HolderName: r.HolderName,
		CommissionerCode: r.CommissionerCode, Purpose: r.Purpose, ParentAllocationId: r.ParentID, DecisionId: r.DecisionID, Combined: r.Combined,
		PlannedPence: (*int64)(r.Planned), ReleasedPence: (*int64)(r.Released), PcnSharePence: (*int64)(r.PCNShare),
		SharedPence: int64(r.Shared), CommittedPence: int64(r.Committed), Etag: versionTag(r.Version),
	}
	if available, known := r.Available(); known {
		left := available - r.Drawn()
		out.AvailablePence, out.LeftPence = (*int64)(&available), (*int64)(&left)
		return out
	}
	if _, err := available(r, versions); err != nil {
		if f, is := fault.As(err); is {
			out.Refusal = refusalOf(f)
		}
	}
	return out
}

// withVersions adds every statement of an allocation to what is shown of it.
func withVersions(out *devfundv1.Allocation, r *store.AllocationRow, versions []store.VersionRow) *devfundv1.Allocation {
	for i := range versions {
		v := &versions[i]
		out.Versions = append(out.Versions, versionToProto(v, amountsOf(r, versions, v.Basis).stands(v)))
	}
	return out
}

func versionToProto(v *store.VersionRow, stands bool) *devfundv1.AllocationVersion {
	return &devfundv1.AllocationVersion{
		Version: int32(v.Number), Basis: v.Basis, AmountPence: (*int64)(v.Amount), Source: v.Source, //nolint:gosec // few versions
		Confidence: working.ConfidenceToProto(v.Confidence), KnownFrom: v.KnownFrom.String(), Reason: v.Reason,
		RecordedBy: v.RecordedBy, RecordedAt: timestamp(v.RecordedAt), Stands: stands,
	}
}

// Meta keys of a refusal for want of a figure, as the rules write them.
const (
	metaMissing = "missing"
	metaRemedy  = "remedy"
)

// refusalOf writes why something has no amount.
func refusalOf(f *fault.Fault) *typev1.Refusal {
	missing := f.Meta[metaMissing]
	if missing == "" {
		missing = f.Message
	}
	out := &typev1.Refusal{Reason: f.Reason, Missing: missing, Remedy: f.Meta[metaRemedy]}
	if text, found := f.Meta["candidate_pence"]; found {
		if candidate, err := money.ParseWhole(text); err == nil {
			out.CandidatePence = &candidate
		}
	}
	return out
}

// sorted returns values in order, each once.
func sorted(values []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}
