package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

func TestDevfund_ReadsMethodsAsAPersonWritesThem(t *testing.T) {
	t.Parallel()
	flags := &sharingFlags{Leadership: "10", Place: "20", NeedSource: "public health of the borough"}
	for text, want := range map[string]*devfundv1.SharingMethod{
		"equal":      {Kind: devfundv1.SharingKind_EQUAL},
		"registered": {Kind: devfundv1.SharingKind_PER_HEAD_REGISTERED},
		"weighted":   {Kind: devfundv1.SharingKind_PER_HEAD_WEIGHTED},
		"adjusted":   {Kind: devfundv1.SharingKind_PER_HEAD_ADJUSTED},
		"flat:10000": {Kind: devfundv1.SharingKind_FLAT_PLUS_PER_HEAD, FlatPence: 10_000_00},
		"need":       {Kind: devfundv1.SharingKind_NEED_INDEX, NeedIndexSource: "public health of the borough"},
		"bid":        {Kind: devfundv1.SharingKind_BID},
	} {
		want.Slices = []*devfundv1.TopSlice{
			{Purpose: devfundv1.AllocationPurpose_LEADERSHIP, Percent: "10"}, {Purpose: devfundv1.AllocationPurpose_PLACE_SUPPORT, Percent: "20"},
		}
		got, err := flags.method(text)
		require.NoError(t, err, text)
		require.True(t, proto.Equal(want, got), "%s: %v", text, got)
	}
	flags.Leadership = "default"
	got, err := flags.method("equal")
	require.NoError(t, err)
	require.True(t, proto.Equal(&devfundv1.TopSlice{Purpose: devfundv1.AllocationPurpose_LEADERSHIP}, got.GetSlices()[0]), "the portion that is set, or the year's")
	_, err = flags.method("fair")
	require.ErrorContains(t, err, sharingWords)
	_, err = flags.method("flat:ten")
	require.ErrorContains(t, err, `flat sum of "flat:ten"`)
}

func TestDevfund_ReadsReceivers(t *testing.T) {
	t.Parallel()
	got, err := readReceivers(strings.NewReader("code,population,need_index,bid_gbp,source\nU00051, 40000,1.25,,public health\nU00052,,,1200.50,\n"))
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.True(t, proto.Equal(&devfundv1.Receiver{Code: "U00051", Population: "40000", NeedIndex: "1.25", Source: "public health"}, got[0]), got[0])
	require.True(t, proto.Equal(&devfundv1.Receiver{Code: "U00052", BidPence: 1200_50}, got[1]), got[1])
	_, err = readReceivers(strings.NewReader("code,weight,bid_gbp\n,1,ten\n"))
	require.ErrorContains(t, err, `there is no column "weight"`)
	require.ErrorContains(t, err, "line 2, column bid_gbp")
	require.ErrorContains(t, err, "line 2, column code: it is empty")
	for _, text := range []string{"", "name\nx\n"} {
		_, err = readReceivers(strings.NewReader(text))
		require.ErrorContains(t, err, "column code")
	}
}

func TestDevfund_ReadsLevelsInSmallLetters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]devfundv1.AllocationLevel{
		"": devfundv1.AllocationLevel_ALLOCATION_LEVEL_UNSPECIFIED, "pcn": devfundv1.AllocationLevel_PCN, "supplier-line": devfundv1.AllocationLevel_SUPPLIER_LINE,
	} {
		got, err := levelOf(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := levelOf("borough")
	require.ErrorContains(t, err, "nation, system, place, commissioner, pcn, supplier-line")
}

func TestDevfund_PrintsAlternativesSideBySide(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, tellAlternatives(&out, &devfundv1.CompareSharingResponse{
		Alternatives: []*devfundv1.SharingOutcome{
			{MethodWords: "per head", PoolPence: 100_00, SharedPoolPence: 90_00, Slices: []*devfundv1.SliceAmount{{Purpose: devfundv1.AllocationPurpose_LEADERSHIP, AmountPence: 10_00}}},
			{MethodWords: "equal", PoolPence: 100_00, SharedPoolPence: 90_00},
		},
		Receivers: []*devfundv1.ShareDifference{{Code: "U00001", Name: "First", AmountsPence: []int64{60_00, 45_00}, MovedPence: []int64{0, -15_00}}},
	}))
	require.Contains(t, out.String(), "1  per head: £90.00 to share of £100.00, £10.00 for leadership")
	require.Regexp(t, `U00001\s+£60.00\s+£45.00\s+-£15.00\s+First`, out.String())
	out.Reset()
	require.NoError(t, tellAlternatives(&out, &devfundv1.CompareSharingResponse{
		Alternatives: []*devfundv1.SharingOutcome{
			{MethodWords: "equal", PoolPence: 100_00, SharedPoolPence: 100_00},
			{MethodWords: "by registered patients times a local index of need", PoolPence: 100_00, Refusal: &typev1.Refusal{Reason: "NEED_INDEX_MISSING", Missing: "index of U00001", Remedy: "state it"}},
		},
		Receivers: []*devfundv1.ShareDifference{{Code: "U00001", Name: "First", AmountsPence: []int64{60_00, 0}, MovedPence: []int64{0, 0}}},
	}))
	require.Contains(t, out.String(), "2  by registered patients times a local index of need: refused: NEED_INDEX_MISSING, index of U00001; state it")
	require.Regexp(t, `U00001\s+£60.00\s+First`, out.String())
	require.NotContains(t, out.String(), "£0.00")
}

func TestDevfund_FailsWhileACheckDoes(t *testing.T) {
	t.Parallel()
	checks := []*devfundv1.GovernanceCheck{{Check: "level_decided", Passed: true}, {Check: "universal_offer", Words: "U00002 gets neither money nor support"}}
	require.ErrorContains(t, checksHold(checks), "1 of 2 checks fail: universal_offer")
	require.NoError(t, checksHold(checks[:1]))
	var out strings.Builder
	tellChecks(&out, checks)
	require.Contains(t, out.String(), "universal_offer FAILED: U00002 gets neither money nor support")
}

func TestDevfund_SaysWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	released := int64(4_370_000_000)
	require.NoError(t, tellAllocations(&out, []*devfundv1.Allocation{
		{AllocationId: "PCN_DEV-2020-21", ReleasedPence: &released}, {AllocationId: "PCN_DEV-2021-22"},
	}))
	require.Contains(t, out.String(), "£43,700,000.00")
	require.Contains(t, out.String(), "not known")
}
