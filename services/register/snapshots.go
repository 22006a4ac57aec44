package register

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// clockLeeway is how far ahead another host's clock may run before its "now" is refused as the future.
const clockLeeway = 5 * time.Second

// everKnown is later than any load becomes known.
var everKnown = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

// firstDay is when the first PCNs came to be; furthestYears how far ahead of today a picture may look.
var firstDay = period.NewDate(2019, time.July, 1)

const furthestYears = 2

// maxList is the most rows of a page, and the default of lists of commissioners.
const maxList = 1000

// GetSnapshot returns an immutable picture of the PCNs that a commissioner owes money to, or of all of England.
func (s *Service) GetSnapshot(ctx context.Context, req *registerv1.GetSnapshotRequest) (*registerv1.Snapshot, error) {
	if req.GetSnapshotId() != "" {
		return s.storedSnapshot(ctx, req.GetSnapshotId(), req.GetCommissionerCode())
	}
	day, err := requiredDate("membership_date", req.GetMembershipDate())
	if err != nil {
		return nil, err
	}
	t, err := s.take(ctx, req.GetCommissionerCode(), day, req.GetPopulationReferenceDate(), req.GetKnownAt())
	if err != nil {
		return nil, err
	}
	if err := s.publish(ctx, t.snapshot, t.content); err != nil {
		return nil, fmt.Errorf("publish a snapshot: %w", err)
	}
	return t.snapshot, nil
}

// GetPcnSnapshot returns the picture of the body that owes a PCN's payments on a day.
func (s *Service) GetPcnSnapshot(ctx context.Context, req *registerv1.GetPcnSnapshotRequest) (*registerv1.Snapshot, error) {
	day, err := requiredDate("membership_date", req.GetMembershipDate())
	if err != nil {
		return nil, err
	}
	england, err := s.take(ctx, "", day, req.GetPopulationReferenceDate(), nil)
	if err != nil {
		return nil, err
	}
	pcns := england.snapshot.GetPcns()
	i := slices.IndexFunc(pcns, func(pcn *registerv1.SnapshotPcn) bool { return pcn.GetPcnCode() == req.GetPcnCode() })
	if by, _ := auth.From(ctx); i < 0 || !by.MaySee(pcns[i].GetPayerCode(), req.GetPcnCode()) {
		return nil, fault.New(fault.NotFound, auth.ReasonNotFound, "there is no PCN %q on %s that you may see", money.Clip(req.GetPcnCode()), day).
			With("pcn_code", money.Clip(req.GetPcnCode()))
	}
	payer := pcns[i].GetPayerCode()
	if payer == "" {
		return nil, fault.New(fault.Refused, rules.ReasonPayerUnknown, "it is not known who pays %s on %s", req.GetPcnCode(), day).
			With("pcn_code", req.GetPcnCode()).With("remedy", "record the PCN's lead commissioner")
	}
	t, err := s.take(ctx, payer, day, req.GetPopulationReferenceDate(), nil)
	if err != nil {
		return nil, err
	}
	if err := s.publish(ctx, t.snapshot, t.content); err != nil {
		return nil, fmt.Errorf("publish a snapshot: %w", err)
	}
	return t.snapshot, nil
}

// storedSnapshot returns a picture by its identifier, to a caller who may see the commissioner it was cut for.
func (s *Service) storedSnapshot(ctx context.Context, id, commissioner string) (*registerv1.Snapshot, error) {
	var held store.Snapshot
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		held, err = store.SnapshotByID(ctx, q, id)
		return err
	})
	// The caller was checked for the commissioner of the request, so the snapshot must be that commissioner's.
	if errors.Is(err, sql.ErrNoRows) || (err == nil && held.Commissioner != commissioner) {
		return nil, fault.New(fault.NotFound, rules.ReasonSnapshotNotFound, "there is no such snapshot of this commissioner").With("snapshot_id", id)
	}
	if err != nil {
		return nil, fmt.Errorf("read a snapshot: %w", err)
	}
	out := &registerv1.Snapshot{}
	if err := proto.Unmarshal(held.Content, out); err != nil {
		return nil, fmt.Errorf("read a snapshot: %w", err)
	}
	out.SnapshotId, out.KnownAt = id, timestamppb.New(held.KnownAt)
	return out, nil
}

// taken is a picture as it is given out, its encoded form, and the national picture it was cut from.
type taken struct {
	snapshot *registerv1.Snapshot
	content  []byte
	national *picture
	cut      rules.Snapshot
}

// take makes a picture and names it by its content.
func (s *Service) take(
	ctx context.Context, commissioner string, day period.Date, reference string, knownAt *timestamppb.Timestamp,
) (*taken, error) {
	if last := period.DateOf(s.db.Now().AddDate(furthestYears, 0, 0)); day.Before(firstDay) || day.After(last) {
		return nil, fault.New(fault.Invalid, rules.ReasonValueNotAllowed, "there are pictures of days from %s to %s, not of %s", firstDay, last, day).
			At("membership_date", fmt.Sprintf("a day from %s to %s", firstDay, last))
	}
	known, position, err := s.knownAt(ctx, knownAt)
	if err != nil {
		return nil, err
	}
	counted, err := s.referenceDate(ctx, day, reference, position)
	if err != nil {
		return nil, err
	}
	national, err := s.picture(ctx, day, counted, position)
	if err != nil {
		return nil, err
	}
	cut, err := national.Cut(commissioner)
	if err != nil {
		return nil, err
	}
	out := snapshotToProto(cut, national.ids)
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("write a snapshot: %w", err)
	}
	sum := sha256.Sum256(content)
	out.SnapshotId, out.KnownAt = hex.EncodeToString(sum[:]), timestamppb.New(known)
	return &taken{out, content, national, cut}, nil
}

// referenceDate returns the day whose populations are wanted: that of the financial year of the picture's day unless another is
// named, which must be a 1 January or a day of which populations are held.
func (s *Service) referenceDate(ctx context.Context, day period.Date, named string, position int64) (period.Date, error) {
	counted, err := dateField("population_reference_date", named)
	if err != nil {
		return period.Date{}, err
	}
	if counted.IsZero() {
		return day.Month().FinancialYear().ListDate(), nil
	}
	if counted == period.NewDate(counted.Time().Year(), time.January, 1) {
		return counted, nil
	}
	var held bool
	err = s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		held, err = store.HasPopulations(ctx, q, position, counted)
		return err
	})
	if err == nil && !held {
		err = fault.New(fault.Invalid, rules.ReasonValueNotAllowed, "no population of %s is held", counted).
			At("population_reference_date", "a 1 January, or a day of which populations are loaded")
	}
	return counted, err
}

// knownAt returns the moment whose knowledge is wanted and the number of the last load known then. Without a moment it is all
// there is, as of the moment when the last load became known; that answers a moment after it too, so that asking again for the
// moment returned gives the same.
func (s *Service) knownAt(ctx context.Context, asked *timestamppb.Timestamp) (known time.Time, position int64, err error) {
	wanted := everKnown
	if asked != nil {
		if err := asked.CheckValid(); err != nil {
			return time.Time{}, 0, fault.New(fault.Invalid, rules.ReasonDateMalformed, "known_at is not a moment").At("known_at", err.Error())
		}
		wanted = asked.AsTime().Truncate(time.Microsecond)
		if now := s.db.Now(); wanted.After(now.Add(clockLeeway)) {
			return time.Time{}, 0, fault.New(fault.Invalid, rules.ReasonKnownAtInFuture, "known_at, %s, lies in the future: it is %s", moment(wanted), moment(now)).
				At("known_at", "a moment up to now")
		}
	}
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		position, known, err = store.KnownAt(ctx, q, wanted)
		return err
	})
	return known, position, err
}

// publish stores a picture that was not given out before, and says so.
func (s *Service) publish(ctx context.Context, snapshot *registerv1.Snapshot, content []byte) error {
	var held bool
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		held, err = store.HasSnapshot(ctx, q, snapshot.GetSnapshotId())
		return err
	})
	if err != nil || held {
		return err
	}
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		isNew, err := store.AddSnapshot(ctx, tx, store.Snapshot{
			ID: snapshot.GetSnapshotId(), Commissioner: snapshot.GetCommissionerCode(), MembershipDate: snapshot.GetMembershipDate(),
			Reference: snapshot.GetPopulationReferenceDate(), KnownAt: snapshot.GetKnownAt().AsTime(), Content: content,
		})
		if err != nil || !isNew {
			return err
		}
		practices := 0
		for _, pcn := range snapshot.GetPcns() {
			practices += len(pcn.GetPractices())
		}
		_, err = outbox.Add(ctx, tx, outbox.Event{
			Aggregate: "snapshots/" + orEngland(snapshot.GetCommissionerCode()), CommissionerCode: snapshot.GetCommissionerCode(),
			Message: &registerv1.SnapshotPublished{
				SnapshotId: snapshot.GetSnapshotId(), CommissionerCode: snapshot.GetCommissionerCode(),
				MembershipDate: snapshot.GetMembershipDate(), PopulationReferenceDate: snapshot.GetPopulationReferenceDate(),
				PcnCount: int32(len(snapshot.GetPcns())), PracticeCount: int32(practices), //nolint:gosec // thousands at most
			},
		})
		return err
	})
}

func orEngland(commissioner string) string {
	if commissioner == "" {
		return outbox.England
	}
	return commissioner
}

// ListCommissioners returns the bodies that owe money on a date: CCGs to 30 June 2022, ICBs after.
func (s *Service) ListCommissioners(ctx context.Context, req *registerv1.ListCommissionersRequest) (*registerv1.ListCommissionersResponse, error) {
	day, err := requiredDate("on_date", req.GetOnDate())
	if err != nil {
		return nil, err
	}
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	_, position, err := s.knownAt(ctx, nil)
	if err != nil {
		return nil, err
	}
	national, err := s.picture(ctx, day, day.Month().FinancialYear().ListDate(), position)
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), maxList)
	var rows []*registerv1.Commissioner
	for _, p := range national.Payers() {
		if p.Code > after && len(rows) <= size {
			rows = append(rows, &registerv1.Commissioner{
				CommissionerCode: p.Code, Name: p.Name, SystemCode: p.System, RegionCode: p.Region, PcnCount: int32(p.PCNs), //nolint:gosec // hundreds at most
			})
		}
	}
	out := &registerv1.ListCommissionersResponse{}
	out.Commissioners, out.NextPageToken = page.Cut(rows, size, (*registerv1.Commissioner).GetCommissionerCode)
	return out, nil
}

// GetCoverage reports what share of patients a date covers, and what is odd.
func (s *Service) GetCoverage(ctx context.Context, req *registerv1.GetCoverageRequest) (*registerv1.Coverage, error) {
	day, err := requiredDate("membership_date", req.GetMembershipDate())
	if err != nil {
		return nil, err
	}
	t, err := s.take(ctx, req.GetCommissionerCode(), day, req.GetPopulationReferenceDate(), req.GetKnownAt())
	if err != nil {
		return nil, err
	}
	c := t.national.CoverageOf(t.cut)
	return &registerv1.Coverage{
		Practices: int32(c.Practices), PracticesInPcn: int32(c.PracticesInPCN), Pcns: int32(c.PCNs), //nolint:gosec // thousands at most
		RegisteredPatients: c.Patients, RegisteredPatientsInPcn: c.PatientsInPCN, CoveredBasisPoints: int32(c.BasisPoints), //nolint:gosec // at most 10,000
		Findings: findingsToProto(c.Findings), SnapshotId: t.snapshot.GetSnapshotId(),
	}, nil
}
