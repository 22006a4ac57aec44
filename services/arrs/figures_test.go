package arrs_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

func (s *suite) figures(t *testing.T, by auth.Principal, req *arrsv1.ListFiguresRequest) []*arrsv1.Figure {
	t.Helper()
	out, err := s.arrs.ListFigures(s.as(t, by), req)
	require.NoError(t, err)
	return out.GetFigures()
}

// maximum asks for the maximum of clinical pharmacists outside London from July 2023, which is £62,340 a year.
func maximum(change func(*arrsv1.AddFigureRequest)) *arrsv1.AddFigureRequest {
	out := &arrsv1.AddFigureRequest{
		Kind: arrsv1.FigureKind_ROLE_MAXIMUM, RoleCode: "CP", Band: "7-8a", Region: arrsv1.Region_NATIONAL,
		EffectiveFrom: "2023-07-01", EffectiveTo: "2024-03-31", Value: "62340", Source: "letter", Version: "revised",
		Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
	}
	if change != nil {
		change(out)
	}
	return out
}

func TestListRoles_TellsWhatCanBeReimbursed(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		all, err := s.arrs.ListRoles(s.as(t, testkit.PCNManager("U1")), &arrsv1.ListRolesRequest{})
		require.NoError(t, err)
		require.Greater(t, len(all.GetRoles()), 20)
		early, err := s.arrs.ListRoles(s.as(t, testkit.PCNManager("U1")), &arrsv1.ListRolesRequest{OnDate: "2019-07-01"})
		require.NoError(t, err)
		require.Len(t, early.GetRoles(), 2)
		cp := early.GetRoles()[0]
		require.Equal(t, "CP", cp.GetRoleCode())
		require.Equal(t, "37.5", cp.GetFullTime())
		require.True(t, cp.GetHasBaseline())
		require.Equal(t, "2020-02-17", cp.GetEarlyFrom())
		_, err = s.arrs.ListRoles(s.as(t, testkit.PCNManager("U1")), &arrsv1.ListRolesRequest{OnDate: "2019-02-30"})
		require.Equal(t, "DATE_MALFORMED", reason(err))
	})
}

func TestListFigures_ShowsOneVersionOfEach(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		sums := s.figures(t, testkit.PCNManager("U1"), &arrsv1.ListFiguresRequest{Kind: arrsv1.FigureKind_SUM_RATE})
		require.Len(t, sums, 8)
		everything := s.figures(t, testkit.PCNManager("U1"), &arrsv1.ListFiguresRequest{Kind: arrsv1.FigureKind_SUM_RATE, IncludeSuperseded: true})
		require.Len(t, everything, 9)
		on := s.figures(t, testkit.Auditor("*"), &arrsv1.ListFiguresRequest{
			Kind: arrsv1.FigureKind_ROLE_MAXIMUM, RoleCode: "CP", OnDate: "2023-08-15",
		})
		require.Len(t, on, 3)
		for _, f := range on {
			if f.GetRegion() == arrsv1.Region_NATIONAL {
				require.Equal(t, "62340", f.GetValue())
				require.Equal(t, "62340", f.GetModelGbp())
				require.Empty(t, f.GetModelWarning())
				require.Equal(t, "2023-07-01", f.GetEffectiveFrom())
			}
		}
		waiting := s.figures(t, testkit.Auditor("*"), &arrsv1.ListFiguresRequest{Kind: arrsv1.FigureKind_SUM_RATE, NotPayableOnly: true})
		require.Len(t, waiting, 2)
		limits := s.figures(t, testkit.Auditor("*"), &arrsv1.ListFiguresRequest{Kind: arrsv1.FigureKind_NUMBER_LIMIT, RoleCode: "PT"})
		require.Equal(t, "1", limits[0].GetValue())
		require.Equal(t, "2", limits[0].GetValueMost())
		require.Zero(t, limits[0].GetListTo())
	})
}

func TestListFigures_ReadsPageByPage(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		req := &arrsv1.ListFiguresRequest{Kind: arrsv1.FigureKind_ROLE_MAXIMUM, RoleCode: "MHP", PageSize: 50, IncludeSuperseded: true}
		seen := make(map[string]bool)
		for {
			out, err := s.arrs.ListFigures(s.as(t, testkit.Auditor("*")), req)
			require.NoError(t, err)
			for _, f := range out.GetFigures() {
				require.False(t, seen[f.GetFigureId()])
				seen[f.GetFigureId()] = true
				require.Contains(t, []string{"", "first", "later"}, f.GetPost())
			}
			if req.PageToken = out.GetNextPageToken(); req.GetPageToken() == "" {
				break
			}
		}
		require.Len(t, seen, s.count(t, `figures WHERE kind = 1 AND role_code = 'MHP'`))
	})
}

func TestAddFigure_TakesThePlaceOfTheVersionBefore(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		req := maximum(func(r *arrsv1.AddFigureRequest) { r.RequestId, r.Value, r.KnownFrom = "a", "62341", "2023-08-01" })
		added, err := s.arrs.AddFigure(s.as(t, testkit.Approver("*")), req)
		require.NoError(t, err)
		require.Equal(t, "england", added.GetCommissionerCode())
		require.Equal(t, "100", added.GetPercent())
		require.Equal(t, "publication", added.GetKnownFromBasis())
		require.Equal(t, testkit.Start.Day(), added.GetRecordedAt().AsTime().Day(), "what was decided before rests on what was known then")
		again, err := s.arrs.AddFigure(s.as(t, testkit.Approver("*")), req)
		require.NoError(t, err)
		require.True(t, proto.Equal(added, again))
		versions := s.figures(t, testkit.Auditor("*"), &arrsv1.ListFiguresRequest{RoleCode: "CP", OnDate: "2023-08-01", IncludeSuperseded: true})
		stands := 0
		for _, f := range versions {
			if f.GetRegion() == arrsv1.Region_NATIONAL {
				require.Equal(t, f.GetFigureId() != added.GetFigureId(), f.GetSuperseded())
				stands++
			}
		}
		require.Equal(t, 2, stands)
		events := s.published(t)
		require.Len(t, events, 1)
		require.Equal(t, "figure/england/CP", events[0].aggregate)
		require.True(t, proto.Equal(added, events[0].event.(*arrsv1.FigureAdded).GetFigure()))
		require.Equal(t, 1, s.count(t, `audit WHERE resource = $1`, "arrs/figures/"+added.GetFigureId()))
	})
}

func TestAddFigure_WarnsOfAPriceBesideTheCostModel(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		added, err := s.arrs.AddFigure(s.as(t, testkit.Approver("*")), maximum(func(r *arrsv1.AddFigureRequest) { r.RequestId, r.Value = "a", "63240" }))
		require.NoError(t, err)
		require.Equal(t, "63240", added.GetValue(), "the model never takes the place of a figure")
		require.Equal(t, "62340", added.GetModelGbp())
		require.Equal(t, "£63240 a year is £900 more than the cost model's £62340: check it against its source", added.GetModelWarning())
	})
}

func TestAddFigure_KeepsTheShareOfTheVersionBeside(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		req := maximum(func(r *arrsv1.AddFigureRequest) {
			r.RequestId, r.EffectiveFrom, r.EffectiveTo, r.Value, r.Region = "a", "2019-07-01", "2020-03-31", "37811", arrsv1.Region_REGION_UNSPECIFIED
		})
		added, err := s.arrs.AddFigure(s.as(t, testkit.Approver("*")), req)
		require.NoError(t, err)
		require.Equal(t, "70", added.GetPercent())
		require.Equal(t, arrsv1.Region_REGION_UNSPECIFIED, added.GetRegion())
	})
}

func TestAddFigure_RefusesWhatCouldNotStand(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		sum := func(change func(*arrsv1.AddFigureRequest)) func(*arrsv1.AddFigureRequest) {
			return func(r *arrsv1.AddFigureRequest) {
				r.Kind, r.RoleCode, r.Band, r.Region, r.Pot, r.Value = arrsv1.FigureKind_SUM_RATE, "", "", 0, arrsv1.Pot_MAIN, "22.7"
				r.EffectiveFrom, r.EffectiveTo = "2023-04-01", "2024-03-31"
				change(r)
			}
		}
		limit := func(change func(*arrsv1.AddFigureRequest)) func(*arrsv1.AddFigureRequest) {
			return func(r *arrsv1.AddFigureRequest) {
				r.Kind, r.RoleCode, r.Band, r.Region, r.Value = arrsv1.FigureKind_NUMBER_LIMIT, "AP", "", 0, "3"
				r.EffectiveFrom, r.EffectiveTo = "2023-04-01", "2024-03-31"
				change(r)
			}
		}
		for name, c := range map[string]struct {
			change func(*arrsv1.AddFigureRequest)
			by     auth.Principal
			want   string
		}{
			"part of a period":     {func(r *arrsv1.AddFigureRequest) { r.EffectiveTo = "2023-12-31" }, testkit.Approver("*"), "FIGURE_PERIOD_INVALID"},
			"more than a year":     {func(r *arrsv1.AddFigureRequest) { r.EffectiveTo = "2024-09-30" }, testkit.Approver("*"), "FIGURE_PERIOD_INVALID"},
			"part of a month":      {func(r *arrsv1.AddFigureRequest) { r.EffectiveFrom = "2023-07-02" }, testkit.Approver("*"), "FIGURE_PERIOD_INVALID"},
			"30 February":          {func(r *arrsv1.AddFigureRequest) { r.KnownFrom = "2025-02-30" }, testkit.Approver("*"), "FIGURE_PERIOD_INVALID"},
			"all of England":       {func(r *arrsv1.AddFigureRequest) { r.Region = 0 }, testkit.Approver("*"), "FIGURE_PERIOD_INVALID"},
			"a day to come":        {func(r *arrsv1.AddFigureRequest) { r.KnownFrom = "2999-01-01" }, testkit.Approver("*"), "KNOWN_AT_IN_FUTURE"},
			"nothing":              {func(r *arrsv1.AddFigureRequest) { r.Value = "0" }, testkit.Approver("*"), "DECIMAL_MALFORMED"},
			"too much":             {func(r *arrsv1.AddFigureRequest) { r.Value = "623400" }, testkit.Approver("*"), "DECIMAL_MALFORMED"},
			"more than all":        {func(r *arrsv1.AddFigureRequest) { r.Percent = "101" }, testkit.Approver("*"), "DECIMAL_MALFORMED"},
			"an unknown figure":    {func(r *arrsv1.AddFigureRequest) { r.Confidence = typev1.Confidence_CONFIDENCE_UNKNOWN }, testkit.Approver("*"), "FIGURE_VALUE_REQUIRED"},
			"a preparer's word":    {func(*arrsv1.AddFigureRequest) {}, testkit.Preparer("*"), "APPROVER_REQUIRED"},
			"an unknown role":      {func(r *arrsv1.AddFigureRequest) { r.RoleCode = "X" }, testkit.Approver("*"), "ROLE_UNKNOWN"},
			"no role":              {func(r *arrsv1.AddFigureRequest) { r.RoleCode = "" }, testkit.Approver("*"), "FIGURE_SUBJECT_INVALID"},
			"another band":         {func(r *arrsv1.AddFigureRequest) { r.Band = "6" }, testkit.Approver("*"), "FIGURE_SUBJECT_INVALID"},
			"a post of one post":   {func(r *arrsv1.AddFigureRequest) { r.Post = "first" }, testkit.Approver("*"), "FIGURE_SUBJECT_INVALID"},
			"a pot of a role":      {func(r *arrsv1.AddFigureRequest) { r.Pot = arrsv1.Pot_MAIN }, testkit.Approver("*"), "FIGURE_SUBJECT_INVALID"},
			"a sum without a pot":  {sum(func(r *arrsv1.AddFigureRequest) { r.Pot = 0 }), testkit.Approver("*"), "FIGURE_SUBJECT_INVALID"},
			"a rate of an offer":   {sum(func(r *arrsv1.AddFigureRequest) { r.Pot = arrsv1.Pot_OFFER_LINK_WORKER }), testkit.Approver("*"), "FIGURE_SUBJECT_INVALID"},
			"two pots at a time":   {sum(func(r *arrsv1.AddFigureRequest) { r.Pot = arrsv1.Pot_SINGLE }), testkit.Approver("*"), "FIGURE_PERIOD_INVALID"},
			"a sum of a role":      {sum(func(r *arrsv1.AddFigureRequest) { r.RoleCode = "CP" }), testkit.Approver("*"), "FIGURE_SUBJECT_INVALID"},
			"half a sum":           {sum(func(r *arrsv1.AddFigureRequest) { r.EffectiveTo = "2023-09-30" }), testkit.Approver("*"), "FIGURE_PERIOD_INVALID"},
			"lists back to front":  {limit(func(r *arrsv1.AddFigureRequest) { r.ListFrom, r.ListTo = 5, 4 }), testkit.Approver("*"), "FIGURE_SUBJECT_INVALID"},
			"lists across others":  {limit(func(r *arrsv1.AddFigureRequest) { r.ListFrom, r.ListTo = 90_000, 110_000 }), testkit.Approver("*"), "FIGURE_PERIOD_INVALID"},
			"a limit with a share": {limit(func(r *arrsv1.AddFigureRequest) { r.Percent = "50" }), testkit.Approver("*"), "FIGURE_SUBJECT_INVALID"},
		} {
			req := maximum(c.change)
			req.RequestId = s.next()
			_, err := s.arrs.AddFigure(s.as(t, c.by), req)
			require.Equal(t, c.want, reason(err), name)
		}
		_, err := s.arrs.AddFigure(s.as(t, testkit.Approver("15N")), maximum(func(r *arrsv1.AddFigureRequest) { r.RequestId = s.next() }))
		require.Equal(t, codes.PermissionDenied, status.Code(err), "who holds a commissioner does not speak for England")
		require.Zero(t, s.count(t, `outbox`))
		for name, change := range map[string]func(*arrsv1.AddFigureRequest){
			"a maximum":     func(*arrsv1.AddFigureRequest) {},
			"a sum":         sum(func(*arrsv1.AddFigureRequest) {}),
			"a finer limit": limit(func(r *arrsv1.AddFigureRequest) { r.ListFrom, r.ListTo = 50_000, 99_999 }),
			"a band agreed locally": func(r *arrsv1.AddFigureRequest) {
				r.RoleCode, r.Band, r.EffectiveFrom, r.EffectiveTo = "OTHER_DPC", "6", "2024-04-01", "2024-09-30"
			},
			"either post": func(r *arrsv1.AddFigureRequest) {
				r.RoleCode, r.Band, r.EffectiveFrom, r.EffectiveTo = "MHP", "7", "2021-04-01", "2022-03-31"
			},
			"a year to come": func(r *arrsv1.AddFigureRequest) { r.EffectiveFrom, r.EffectiveTo = "2027-04-01", "2028-03-31" },
		} {
			req := maximum(change)
			req.RequestId = s.next()
			_, err := s.arrs.AddFigure(s.as(t, testkit.Approver("*")), req)
			require.NoError(t, err, name)
		}
	})
}

func TestFigures_OfACommissionerAreItsOwn(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		own, err := s.arrs.AddFigure(s.as(t, testkit.Approver("QJK")), maximum(func(r *arrsv1.AddFigureRequest) {
			r.RequestId, r.CommissionerCode, r.Value = "a", "QJK", "61000"
		}))
		require.NoError(t, err)
		values := func(by auth.Principal) (out []string) {
			for _, f := range s.figures(t, by, &arrsv1.ListFiguresRequest{RoleCode: "CP", OnDate: "2023-08-01"}) {
				if f.GetRegion() == arrsv1.Region_NATIONAL {
					out = append(out, f.GetValue())
				}
			}
			return out
		}
		require.ElementsMatch(t, []string{"62340", "61000"}, values(testkit.Auditor("QJK")))
		require.Equal(t, []string{"62340"}, values(testkit.Auditor("QT6")))
		require.Equal(t, []string{"62340"}, values(testkit.PCNManager("U1")))
		_, err = s.arrs.ConfirmFigure(s.as(t, testkit.Approver("QT6")), &arrsv1.ConfirmFigureRequest{
			RequestId: "c", CommissionerCode: "QT6", FigureId: own.GetFigureId(), Source: "x", Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
		})
		require.Equal(t, "FIGURE_NOT_FOUND", reason(err))
	})
}

func TestConfirmFigure_NeedsAnotherPerson(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		both := testkit.Preparer("QJK")
		both.Roles = append(both.Roles, optionsv1.Role_ROLE_FINANCE_APPROVER)
		candidate, err := s.arrs.AddFigure(s.as(t, both), maximum(func(r *arrsv1.AddFigureRequest) {
			r.RequestId, r.CommissionerCode, r.Value, r.Confidence = "a", "QJK", "62000", typev1.Confidence_CONFIDENCE_CANDIDATE
		}))
		require.NoError(t, err)
		confirm := &arrsv1.ConfirmFigureRequest{
			RequestId: "c", CommissionerCode: "QJK", FigureId: candidate.GetFigureId(), Etag: candidate.GetEtag(), Source: "letter",
			Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
		}
		_, err = s.arrs.ConfirmFigure(s.as(t, both), confirm)
		require.Equal(t, "CONFIRMER_IS_AUTHOR", reason(err))
		stale := proto.CloneOf(confirm)
		stale.Etag = "another"
		_, err = s.arrs.ConfirmFigure(s.as(t, testkit.Approver("QJK")), stale)
		require.Equal(t, "FIGURE_CHANGED", reason(err))
		confirmed, err := s.arrs.ConfirmFigure(s.as(t, testkit.Approver("QJK")), confirm)
		require.NoError(t, err)
		require.Equal(t, "62000", confirmed.GetValue())
		require.Equal(t, typev1.Confidence_CONFIDENCE_OFFICIAL, confirmed.GetConfidence())
		events := s.published(t)
		event := events[len(events)-1]
		require.Equal(t, "pcnfunding.arrs.v1.FigureConfirmed.QJK", event.subject)
		require.Equal(t, candidate.GetFigureId(), event.event.(*arrsv1.FigureConfirmed).GetReplacesFigureId())
		confirm.RequestId = "d"
		_, err = s.arrs.ConfirmFigure(s.as(t, testkit.Approver("QJK")), confirm)
		require.Equal(t, "FIGURE_CHANGED", reason(err), "it has been confirmed")
		confirm.RequestId, confirm.FigureId, confirm.Etag = "e", confirmed.GetFigureId(), ""
		_, err = s.arrs.ConfirmFigure(s.as(t, testkit.Approver("QJK")), confirm)
		require.Equal(t, "FIGURE_NOT_CONFIRMABLE", reason(err))
	})
}

func TestFigures_ACandidateWaitsBesideAPayableVersion(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		candidate, err := s.arrs.AddFigure(s.as(t, testkit.Preparer("*")), maximum(func(r *arrsv1.AddFigureRequest) {
			r.RequestId, r.Confidence = "a", typev1.Confidence_CONFIDENCE_CANDIDATE
		}))
		require.NoError(t, err)
		standing := 0
		for _, f := range s.figures(t, testkit.Auditor("*"), &arrsv1.ListFiguresRequest{RoleCode: "CP", OnDate: "2023-08-01"}) {
			if f.GetRegion() == arrsv1.Region_NATIONAL {
				standing++
			}
		}
		require.Equal(t, 2, standing, "what is payable is shown with what is proposed")
		_, err = s.arrs.ConfirmFigure(s.as(t, testkit.Approver("*")), &arrsv1.ConfirmFigureRequest{
			RequestId: "c", FigureId: candidate.GetFigureId(), Source: "letter", Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
		})
		require.NoError(t, err)
		require.Len(t, s.figures(t, testkit.Auditor("*"), &arrsv1.ListFiguresRequest{RoleCode: "CP", OnDate: "2023-08-01"}), 3)
	})
}

func TestConfirmFigure_EntersWhatIsUnknown(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		for id, value := range map[string]string{"SUM-SINGLE-2025-04-UPLIFTED": "26.8", "PT-2020-04-0": "2", "AP-INN-2021-04": "70000"} {
			confirm := &arrsv1.ConfirmFigureRequest{RequestId: s.next(), FigureId: id, Source: "letter", Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL}
			_, err := s.arrs.ConfirmFigure(s.as(t, testkit.Approver("*")), confirm)
			require.Equal(t, "FIGURE_VALUE_REQUIRED", reason(err), id)
			confirm.Value = value
			confirmed, err := s.arrs.ConfirmFigure(s.as(t, testkit.Approver("*")), confirm)
			require.NoError(t, err, id)
			require.Equal(t, value, confirmed.GetValue())
			if confirmed.GetKind() == arrsv1.FigureKind_NUMBER_LIMIT {
				require.Equal(t, value, confirmed.GetValueMost())
			}
		}
		confirm := &arrsv1.ConfirmFigureRequest{RequestId: "x", FigureId: "no such", Source: "x", Confidence: typev1.Confidence_CONFIDENCE_CANDIDATE}
		_, err := s.arrs.ConfirmFigure(s.as(t, testkit.Approver("*")), confirm)
		require.Equal(t, "FIGURE_NOT_CONFIRMABLE", reason(err))
		confirm.Confidence = typev1.Confidence_CONFIDENCE_SECONDARY
		_, err = s.arrs.ConfirmFigure(s.as(t, testkit.Approver("*")), confirm)
		require.Equal(t, "FIGURE_NOT_FOUND", reason(err))
	})
}
