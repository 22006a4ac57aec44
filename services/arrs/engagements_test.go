package arrs_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

func TestRecordEngagement_IsForThePCNAndItsCommissioner(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		req := func() *arrsv1.RecordEngagementRequest {
			return &arrsv1.RecordEngagementRequest{
				RequestId: s.next(), PcnCode: "U1", CommissionerCode: "15N", Label: "CC 1",
				Terms: &arrsv1.EngagementTerms{RoleCode: "CC", PerWeek: "37.5", StartDate: "2025-04-01"},
			}
		}
		_, err := s.arrs.RecordEngagement(s.as(t, network("m", "U1")), req())
		require.Equal(t, "YEAR_NOT_FIXED", claimReason(err))
		s.fix(t, "U1", "15N", 2025, 1, single(1))
		for name, c := range map[string]struct {
			by     auth.Principal
			change func(*arrsv1.RecordEngagementRequest)
			want   string
		}{
			"another PCN":               {network("m", "U2"), func(*arrsv1.RecordEngagementRequest) {}, "RESOURCE_NOT_FOUND"},
			"another commissioner":      {testkit.Preparer("11N"), func(*arrsv1.RecordEngagementRequest) {}, "RESOURCE_NOT_FOUND"},
			"another's PCN":             {testkit.Preparer("11N"), func(r *arrsv1.RecordEngagementRequest) { r.CommissionerCode = "11N" }, "RESOURCE_NOT_FOUND"},
			"the wrong one, by the PCN": {network("m", "U1"), func(r *arrsv1.RecordEngagementRequest) { r.CommissionerCode = "11N" }, "COMMISSIONER_DIFFERS"},
			"an unknown role":           {network("m", "U1"), func(r *arrsv1.RecordEngagementRequest) { r.Terms.RoleCode = "X" }, "ENGAGEMENT_INVALID"},
			"no band":                   {network("m", "U1"), func(r *arrsv1.RecordEngagementRequest) { r.Terms.RoleCode = "MHP" }, "ENGAGEMENT_INVALID"},
			"a post":                    {network("m", "U1"), func(r *arrsv1.RecordEngagementRequest) { r.Terms.Post = "first" }, "ENGAGEMENT_INVALID"},
			"no hours":                  {network("m", "U1"), func(r *arrsv1.RecordEngagementRequest) { r.Terms.PerWeek = "0" }, "ENGAGEMENT_INVALID"},
			"no day":                    {network("m", "U1"), func(r *arrsv1.RecordEngagementRequest) { r.Terms.StartDate = "2025-02-30" }, "ENGAGEMENT_INVALID"},
			"an end before the start":   {network("m", "U1"), func(r *arrsv1.RecordEngagementRequest) { r.Terms.EndDate = "2025-03-01" }, "ENGAGEMENT_INVALID"},
			"a share of no training":    {network("m", "U1"), func(r *arrsv1.RecordEngagementRequest) { r.Terms.Facts = &arrsv1.EngagementFacts{TrainingShare: "0.5"} }, "ENGAGEMENT_INVALID"},
			"more than the whole": {network("m", "U1"), func(r *arrsv1.RecordEngagementRequest) {
				r.Terms.Facts = &arrsv1.EngagementFacts{Training: "X", TrainingShare: "1.5"}
			}, "ENGAGEMENT_INVALID"},
			"a label of nothing but room": {network("m", "U1"), func(r *arrsv1.RecordEngagementRequest) { r.Label = "  " }, "ENGAGEMENT_INVALID"},
		} {
			r := req()
			c.change(r)
			_, err := s.arrs.RecordEngagement(s.as(t, c.by), r)
			require.Equal(t, c.want, claimReason(err), name)
		}
		out, err := s.arrs.RecordEngagement(s.as(t, testkit.Preparer("15N")), req())
		require.NoError(t, err)
		require.False(t, out.GetPersonKnown())
		_, err = s.arrs.RecordEngagement(s.as(t, network("m", "U1")), req())
		require.Equal(t, "LABEL_TAKEN", claimReason(err))
	})
}

func TestChangeEngagement_KeepsWhatWasStatedBefore(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		first := s.engage(t, "U1", "CC 1", func(r *arrsv1.RecordEngagementRequest) { r.PersonReference = "ab1" })
		require.True(t, first.GetPersonKnown())
		change := func(tag string) *arrsv1.ChangeEngagementRequest {
			return &arrsv1.ChangeEngagementRequest{
				RequestId: s.next(), EngagementId: first.GetEngagementId(), Etag: tag,
				Terms: &arrsv1.EngagementTerms{RoleCode: "CC", PerWeek: "30", StartDate: "2025-04-01", EndDate: "2025-12-15"},
			}
		}
		for tag, want := range map[string]string{"": "ETAG_REQUIRED", "7": "VERSION_CHANGED"} {
			_, err := s.arrs.ChangeEngagement(s.as(t, network("m", "U1")), change(tag))
			require.Equal(t, want, claimReason(err))
		}
		mixed := testkit.Auditor("15N") // sees it, and speaks for another PCN
		mixed.Roles, mixed.PCNs = append(mixed.Roles, optionsv1.Role_ROLE_PCN_MANAGER), []string{"U2"}
		for _, by := range []auth.Principal{network("m", "U2"), testkit.Preparer("11N"), mixed} {
			_, err := s.arrs.ChangeEngagement(s.as(t, by), change(first.GetEtag()))
			require.Equal(t, "ENGAGEMENT_NOT_FOUND", claimReason(err))
		}
		second, err := s.arrs.ChangeEngagement(s.as(t, testkit.Preparer("15N")), change(first.GetEtag()))
		require.NoError(t, err)
		require.True(t, second.GetPersonKnown(), "no reference keeps what is known")
		require.Equal(t, "30", second.GetTerms().GetPerWeek())
		require.NotEqual(t, first.GetEtag(), second.GetEtag())
		require.Equal(t, int64(1), s.number(t, `SELECT COUNT(*) FROM engagement_terms WHERE version = 1 AND stated_by = 'manager'`))
		claim := s.submit(t, entry("U1", "2025-12", costing("CC 1", 1_000_00)))
		require.Equal(t, "0.8", claim.GetLines()[0].GetWte())
		require.Equal(t, int64(1208_97), claim.GetLines()[0].GetMaximumPence(), "fifteen days of 31")
		got, err := s.arrs.GetEngagement(s.as(t, network("m", "U1")), &arrsv1.GetEngagementRequest{EngagementId: first.GetEngagementId()})
		require.NoError(t, err)
		require.Equal(t, second.GetEtag(), got.GetEtag())
		_, err = s.arrs.GetEngagement(s.as(t, testkit.Approver("11N")), &arrsv1.GetEngagementRequest{EngagementId: first.GetEngagementId()})
		require.Equal(t, codes.NotFound, status.Code(err))
	})
}

func TestListEngagements_PagesByPCNAndLabel(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(1))
		s.fix(t, "U2", "15N", 2025, 1, single(1))
		s.engage(t, "U2", "A")
		s.engage(t, "U1", "B/2")
		s.engage(t, "U1", "B/1", func(r *arrsv1.RecordEngagementRequest) { r.Terms.EndDate = "2025-06-30" })
		list := func(by auth.Principal, req *arrsv1.ListEngagementsRequest) (labels []string) {
			for {
				page, err := s.arrs.ListEngagements(s.as(t, by), req)
				require.NoError(t, err)
				for _, e := range page.GetEngagements() {
					labels = append(labels, e.GetPcnCode()+" "+e.GetLabel())
				}
				if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
					return labels
				}
			}
		}
		require.Equal(t, []string{"U1 B/1", "U1 B/2", "U2 A"}, list(testkit.Auditor("15N"), &arrsv1.ListEngagementsRequest{PageSize: 1}))
		require.Equal(t, []string{"U1 B/2", "U2 A"}, list(testkit.Auditor("*"), &arrsv1.ListEngagementsRequest{Month: "2025-07"}))
		require.Equal(t, []string{"U2 A"}, list(network("m", "U2"), &arrsv1.ListEngagementsRequest{}))
		require.Equal(t, []string{"U2 A"}, list(testkit.Auditor("15N"), &arrsv1.ListEngagementsRequest{PcnCode: "U2", CommissionerCode: "15N"}))
		require.Empty(t, list(testkit.Auditor("11N"), &arrsv1.ListEngagementsRequest{}))
		s.fix(t, "U2", "11N", 2025, 2, single(1))
		require.NoError(t, s.service.Upkeep(t.Context()))
		require.Equal(t, []string{"U2 A"}, list(testkit.Auditor("11N"), &arrsv1.ListEngagementsRequest{}), "the PCN has another commissioner now")
	})
}

func TestListOverlaps_ShowsOtherCommissionersPCNsByCodeAlone(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(1))
		s.fix(t, "U2", "15N", 2025, 1, single(1))
		s.fix(t, "U3", "11N", 2025, 1, single(1))
		with := func(reference, perWeek string) func(*arrsv1.RecordEngagementRequest) {
			return func(r *arrsv1.RecordEngagementRequest) { r.PersonReference, r.Terms.PerWeek = reference, perWeek }
		}
		s.engage(t, "U1", "CC 1", with("ab1", "30"))
		s.engage(t, "U2", "CC 1", with(" AB1", "15"), func(r *arrsv1.RecordEngagementRequest) { r.Terms.StartDate = "2025-06-30" })
		s.engage(t, "U3", "CC 9", with("Ab1 ", "7.5"), func(r *arrsv1.RecordEngagementRequest) { r.CommissionerCode = "11N" })
		s.engage(t, "U1", "CC 2", with("other", "37.5"))
		s.engage(t, "U1", "CC 3", with("", "37.5"))
		s.engage(t, "U2", "CC 3", with("", "37.5"))
		overlaps := func(by auth.Principal, code, month string) []*arrsv1.Overlap {
			out, err := s.arrs.ListOverlaps(s.as(t, by), &arrsv1.ListOverlapsRequest{CommissionerCode: code, Month: month})
			require.NoError(t, err)
			return out.GetOverlaps()
		}
		june := overlaps(testkit.Auditor("15N"), "15N", "2025-06")
		require.Len(t, june, 1)
		require.Len(t, june[0].GetEngagements(), 2)
		require.Equal(t, []string{"U3"}, june[0].GetOtherPcnCodes())
		require.Equal(t, "1.4", june[0].GetWte())
		require.True(t, june[0].GetAboveOne())
		may := overlaps(testkit.Auditor("15N"), "15N", "2025-05")
		require.Len(t, may[0].GetEngagements(), 1)
		require.False(t, may[0].GetAboveOne())
		require.Empty(t, overlaps(testkit.Auditor("15N"), "15N", "2025-03"))
		other := overlaps(testkit.Preparer("11N"), "11N", "2025-06")
		require.Equal(t, []string{"U1", "U2"}, other[0].GetOtherPcnCodes())
		require.NotContains(t, other[0].String(), "CC 1")
		require.Empty(t, overlaps(testkit.Auditor("*"), "15N", "2025-06")[0].GetOtherPcnCodes())
		for _, by := range []auth.Principal{network("m", "U1"), testkit.Auditor("11N")} {
			_, err := s.arrs.ListOverlaps(s.as(t, by), &arrsv1.ListOverlapsRequest{CommissionerCode: "15N", Month: "2025-06"})
			require.Contains(t, []codes.Code{codes.NotFound, codes.PermissionDenied}, status.Code(err))
		}
		require.Zero(t, s.number(t, `SELECT COUNT(*) FROM engagements WHERE pseudonym <> '' AND LENGTH(pseudonym) <> 64`))
	})
}

func TestEngagements_TellPersonsAndLabelsByWhatCanBeSeen(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(1))
		person := func(reference string) func(*arrsv1.RecordEngagementRequest) {
			return func(r *arrsv1.RecordEngagementRequest) { r.PersonReference = reference }
		}
		first := s.engage(t, "U1", "CC 1", person("NMC-12 345"))
		s.engage(t, "U1", "CC 2", person("nmc12345"))
		overlaps, err := s.arrs.ListOverlaps(s.as(t, testkit.Auditor("15N")), &arrsv1.ListOverlapsRequest{CommissionerCode: "15N", Month: "2025-12"})
		require.NoError(t, err)
		require.Len(t, overlaps.GetOverlaps(), 1, "the same person, however the reference is set apart")
		for label, want := range map[string]string{"cc  1": "LABEL_TAKEN", "CC\u200b 1": "ENGAGEMENT_INVALID", "a\nb": "ENGAGEMENT_INVALID"} {
			_, err := s.arrs.RecordEngagement(s.as(t, network("manager", "U1")), &arrsv1.RecordEngagementRequest{
				RequestId: s.next(), PcnCode: "U1", CommissionerCode: "15N", Label: label, Terms: &arrsv1.EngagementTerms{RoleCode: "CC", PerWeek: "37.5", StartDate: "2025-04-01"},
			})
			require.Equal(t, want, claimReason(err), label)
		}
		rename := func(label string) (*arrsv1.Engagement, error) {
			return s.arrs.ChangeEngagement(s.as(t, network("manager", "U1")), &arrsv1.ChangeEngagementRequest{
				RequestId: s.next(), EngagementId: first.GetEngagementId(), Etag: first.GetEtag(), Terms: first.GetTerms(), Label: label,
			})
		}
		_, err = rename("Cc 2")
		require.Equal(t, "LABEL_TAKEN", claimReason(err))
		named, err := rename("CC 9")
		require.NoError(t, err)
		require.Equal(t, "CC 9", named.GetLabel())
		require.Zero(t, s.number(t, `SELECT COUNT(*) FROM audit WHERE summary LIKE '%CC 9%' OR summary LIKE '%CC 1%'`), "a label can hold a name")
	})
}
