package register_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

func TestGetOrganisation_ShowsDatedLinks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load("gp-reg-pat-prac-map_2020-09-01.csv", "gp-reg-pat-prac-map_2022-01-01.csv", "epcn_core_partner_details_2024-10.csv", "epcn_pcn_details_2022-05.csv")
	reader := f.as(testkit.PCNManager("U89141"))
	practice, err := f.client.GetOrganisation(reader, &registerv1.GetOrganisationRequest{OrganisationCode: "F82001"})
	require.NoError(t, err)
	require.Equal(t, registerv1.OrganisationKind_PRACTICE, practice.GetKind())
	var dated, observed int
	for _, r := range practice.GetRelationships() {
		require.NotEmpty(t, r.GetLoadId())
		require.NotEmpty(t, r.GetOtherName(), r)
		if r.GetKind() == registerv1.RelationshipKind_MEMBER_OF_PCN && !r.GetObserved() {
			dated++
		}
		if r.GetObserved() {
			observed++
		}
	}
	require.Equal(t, 2, dated)
	require.Positive(t, observed)
	location, err := f.client.GetOrganisation(reader, &registerv1.GetOrganisationRequest{OrganisationCode: "02Q"})
	require.NoError(t, err)
	require.Equal(t, registerv1.OrganisationKind_COMMISSIONER_LOCATION, location.GetKind())
	require.Equal(t, "QF7", location.GetRelationships()[0].GetOtherCode())
	require.Equal(t, "2020-09-01", location.GetRelationships()[0].GetEffectiveFrom())
	closed, err := f.client.GetOrganisation(reader, &registerv1.GetOrganisationRequest{OrganisationCode: "U01315"})
	require.NoError(t, err)
	require.Equal(t, "2022-03-31", closed.GetClosed())
	_, err = f.client.GetOrganisation(reader, &registerv1.GetOrganisationRequest{OrganisationCode: "ZZZ"})
	requireReason(t, err, fault.NotFound, "ORGANISATION_UNKNOWN")
}

func TestListOrganisations_IsPaged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load("gp-reg-pat-prac-map_2022-01-01.csv")
	var codes []string
	request := &registerv1.ListOrganisationsRequest{Kind: registerv1.OrganisationKind_PRACTICE, PageSize: 10}
	for {
		page, err := f.client.ListOrganisations(f.as(testkit.Operator()), request)
		require.NoError(t, err)
		for _, o := range page.GetOrganisations() {
			codes = append(codes, o.GetOrganisationCode())
		}
		if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
			break
		}
	}
	require.Len(t, codes, 45)
	require.True(t, slices.IsSorted(codes))
}
