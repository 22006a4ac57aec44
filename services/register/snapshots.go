package register

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
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
	snapshot, _, err := s.snapshot(ctx, req.GetCommissionerCode(), day, req.GetPopulationReferenceDate(), req.GetKnownAt())
	return snapshot, err
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

// snapshot takes a picture, stores it if it is new, and returns it with the national picture it was cut from.
func (s *Service) snapshot(
	ctx context.Context, commissioner string, day period.Date, reference string, knownAt *timestamppb.Timestamp,
) (*registerv1.Snapshot, cutting, error) {
	counted, err := dateField("population_reference_date", reference)
	if err != nil {
		return nil, cutting{}, err
	}
	if counted.IsZero() {
		counted = day.Month().FinancialYear().ListDate()
	}
	known, position, err := s.knownAt(ctx, knownAt)
	if err != nil {
		return nil, cutting{}, err
	}
	national, err := s.picture(ctx, day, counted, position)
	if err != nil {
		return nil, cutting{}, err
	}
	cut, err := national.Cut(commissioner)
	if err != nil {
		return nil, cutting{}, err
	}
	out := snapshotToProto(cut, national.ids)
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(out)
	if err != nil {
		return nil, cutting{}, fmt.Errorf("write a snapshot: %w", err)
	}
	sum := sha256.Sum256(content)
	out.SnapshotId, out.KnownAt = hex.EncodeToString(sum[:]), timestamppb.New(known)
	if err := s.publish(ctx, out, content); err != nil {
		return nil, cutting{}, fmt.Errorf("publish a snapshot: %w", err)
	}
	return out, cutting{national, cut}, nil
}

// cutting is a national picture and the part of it that a snapshot shows.
type cutting struct {
	national *picture
	cut      rules.Snapshot
}

// knownAt returns the moment whose knowledge is wanted and the number of the last load known then.
func (s *Service) knownAt(ctx context.Context, asked *timestamppb.Timestamp) (time.Time, int64, error) {
	now := s.db.Now()
	if asked == nil {
		return s.knownNow(ctx, now)
	}
	if err := asked.CheckValid(); err != nil {
		return time.Time{}, 0, fault.New(fault.Invalid, rules.ReasonDateMalformed, "known_at is not a moment").At("known_at", err.Error())
	}
	known := asked.AsTime().Truncate(time.Microsecond)
	if known.After(now.Add(clockLeeway)) {
		return time.Time{}, 0, fault.New(fault.Invalid, rules.ReasonKnownAtInFuture, "known_at, %s, lies in the future: it is %s", moment(known), moment(now)).
			At("known_at", "a moment up to now")
	}
	var position int64
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		position, err = store.PositionAt(ctx, q, known)
		return err
	})
	return known, position, err
}

// knownNow returns the last load and the moment from which it counts: now, unless the clock has been set back since.
func (s *Service) knownNow(ctx context.Context, now time.Time) (known time.Time, position int64, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		position, known, err = store.LastKnown(ctx, q)
		return err
	})
	if known.Before(now) {
		known = now
	}
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
	snapshot, from, err := s.snapshot(ctx, req.GetCommissionerCode(), day, req.GetPopulationReferenceDate(), req.GetKnownAt())
	if err != nil {
		return nil, err
	}
	c := from.national.CoverageOf(from.cut)
	return &registerv1.Coverage{
		Practices: int32(c.Practices), PracticesInPcn: int32(c.PracticesInPCN), Pcns: int32(c.PCNs), //nolint:gosec // thousands at most
		RegisteredPatients: c.Patients, RegisteredPatientsInPcn: c.PatientsInPCN, CoveredBasisPoints: int32(c.BasisPoints), //nolint:gosec // at most 10,000
		Findings: findingsToProto(c.Findings), SnapshotId: snapshot.GetSnapshotId(),
	}, nil
}
