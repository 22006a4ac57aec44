package arrs_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

const workforceColumns = "Data_source,CENSUS_YEAR,CENSUS_MONTH,PCN_CODE,PCN_NAME,SUB_ICB_CODE,SUB_ICB_NAME,ICB_CODE,ICB_NAME,COMM_REGION_CODE," +
	"COMM_REGION_NAME,STAFF_GROUP,STAFF_ROLE,DETAILED_STAFF_ROLE,FTE,UNIQUE_IDENTIFIER\r\n"

func workforceRow(pcn, role, detailed, fte string) string {
	return "NWRS Staff,2022,9," + pcn + ",=PCN,36L,Body,QWE,ICB,Y56,London,Other Direct Patient Care staff," + role + "," + detailed + "," + fte + ",1\r\n"
}

func (s *planSuite) upload(t *testing.T, id, content string, alter func(*arrsv1.WorkforceHeader)) (*arrsv1.ImportWorkforceResponse, error) {
	t.Helper()
	stream, err := s.arrs.ImportWorkforce(planAs(t, testkit.Operator()))
	require.NoError(t, err)
	header := &arrsv1.WorkforceHeader{RequestId: id, FileName: "PCN.csv", Source: "NHS England, PCN Workforce, September 2022"}
	if alter != nil {
		alter(header)
	}
	_ = stream.Send(&arrsv1.ImportWorkforceRequest{Part: &arrsv1.ImportWorkforceRequest_Header{Header: header}})
	for len(content) > 0 {
		n := min(len(content), 512<<10)
		if stream.Send(&arrsv1.ImportWorkforceRequest{Part: &arrsv1.ImportWorkforceRequest_Chunk{Chunk: []byte(content[:n])}}) != nil {
			break
		}
		content = content[n:]
	}
	return stream.CloseAndRecv()
}

func TestImportWorkforce_StoresByPCNAndRole(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U00001", "QWE", "2022/23", "main", 100)
		s.year(t, "U00002", "QWE", "2022/23", "main", 100)
		content := workforceColumns + workforceRow("U00001", "Pharmacists", "Pharmacist", "0.5") + workforceRow("U00001", "Pharmacists", "Pharmacist", "0.25") +
			workforceRow("U00001", "Wizards", "Wizard", "1") + workforceRow("U00009", "Paramedics", "Paramedic", "2")
		got, err := s.upload(t, "r1", content, nil)
		require.NoError(t, err)
		held := got.GetWorkforceImport()
		require.Equal(t, "2022-09", held.GetMonth())
		require.Equal(t, []any{int32(4), int32(2), "3.75"}, []any{held.GetRows(), held.GetPcns(), held.GetWte()})
		require.Len(t, held.GetUnmapped(), 1)
		require.Equal(t, "Wizard", held.GetUnmapped()[0].GetDetailedStaffRole())
		require.Equal(t, []string{"U00002"}, held.GetAbsentPcnCodes())
		require.Equal(t, []string{"U00009"}, held.GetUnknownPcnCodes())
		full, err := s.arrs.GetWorkforceImport(planAs(t, testkit.PCNManager("U1")), &arrsv1.GetWorkforceImportRequest{ImportId: held.GetImportId()})
		require.NoError(t, err)
		require.Equal(t, held.GetAbsentPcnCodes(), full.GetAbsentPcnCodes())
		require.Len(t, full.GetUnmapped(), 1)

		again, err := s.upload(t, "r2", content, nil)
		require.NoError(t, err)
		require.True(t, again.GetAlreadyImported())
		require.Equal(t, held.GetImportId(), again.GetWorkforceImport().GetImportId())
		require.Equal(t, 1, s.count(t, "workforce_imports"))
		require.Equal(t, 3, s.count(t, "workforce"))

		list, err := s.arrs.ListWorkforce(planAs(t, testkit.PCNManager("U7")), &arrsv1.ListWorkforceRequest{PcnCode: "U00001"})
		require.NoError(t, err)
		require.Equal(t, "2022-09", list.GetMonth())
		require.Len(t, list.GetRows(), 2)
		require.Equal(t, []any{"CP", "0.75", int32(2)}, []any{
			list.GetRows()[0].GetRoleCode(), list.GetRows()[0].GetPublished().GetWte(), list.GetRows()[0].GetPublished().GetPosts(),
		})
		require.Empty(t, list.GetRows()[1].GetRoleCode())
		page, err := s.arrs.ListWorkforce(planAs(t, testkit.Auditor("*")), &arrsv1.ListWorkforceRequest{Month: "2022-09", BodyCode: "QWE", PageSize: 2})
		require.NoError(t, err)
		require.Len(t, page.GetRows(), 2)
		page, err = s.arrs.ListWorkforce(planAs(t, testkit.Auditor("*")), &arrsv1.ListWorkforceRequest{Month: "2022-09", BodyCode: "QWE", PageSize: 2, PageToken: page.GetNextPageToken()})
		require.NoError(t, err)
		require.Equal(t, "U00009", page.GetRows()[0].GetPcnCode())
		require.Empty(t, page.GetNextPageToken())

		second, err := s.upload(t, "r3", content+workforceRow("U00002", "Paramedics", "Paramedic", "1"), nil)
		require.NoError(t, err)
		require.Empty(t, second.GetWorkforceImport().GetAbsentPcnCodes())
		imports, err := s.arrs.ListWorkforceImports(planAs(t, testkit.Operator()), &arrsv1.ListWorkforceImportsRequest{})
		require.NoError(t, err)
		require.Len(t, imports.GetImports(), 2)
		require.False(t, imports.GetImports()[0].GetReplaced())
		require.True(t, imports.GetImports()[1].GetReplaced(), "a later file of the month counts")
	})
}

func TestImportWorkforce_RefusesBadFilesWhole(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		content := workforceColumns + workforceRow("U00001", "Pharmacists", "Pharmacist", "0.5") + workforceRow("X1", "Pharmacists", "Pharmacist", "one")
		_, err := s.upload(t, "r1", content, nil)
		require.Equal(t, "FILE_HAS_BAD_ROWS", planReason(err))
		require.Contains(t, err.Error(), "2 values are bad")
		checked, err := s.upload(t, "r2", content, func(h *arrsv1.WorkforceHeader) { h.CheckOnly = true })
		require.NoError(t, err)
		require.Len(t, checked.GetBadRows(), 2)
		require.Equal(t, int32(3), checked.GetBadRows()[0].GetLine())
		require.Empty(t, checked.GetWorkforceImport().GetImportId())
		_, err = s.upload(t, "r3", "a,b\n", nil)
		require.Equal(t, "FILE_MALFORMED", planReason(err))
		_, err = s.upload(t, "r4", content, func(h *arrsv1.WorkforceHeader) { h.Sha256 = strings.Repeat("0", 64) })
		require.Equal(t, "FILE_MALFORMED", planReason(err))
		_, err = s.upload(t, "", content, nil)
		require.Equal(t, "REQUEST_ID_REQUIRED", planReason(err))
		_, err = s.arrs.GetWorkforceImport(planAs(t, testkit.Operator()), &arrsv1.GetWorkforceImportRequest{ImportId: "none"})
		require.Equal(t, "WORKFORCE_IMPORT_NOT_FOUND", planReason(err))
		stream, err := s.arrs.ImportWorkforce(planAs(t, testkit.Preparer("*")))
		require.NoError(t, err)
		_, err = stream.CloseAndRecv()
		require.Equal(t, codes.PermissionDenied, status.Code(err), "an operator imports")
		require.Zero(t, s.count(t, "workforce_imports"))
	})
}

// TestImportWorkforce_TakesAPublishedFile reads a file as it was published: Windows-1252, packed, with a post of no working time.
func TestImportWorkforce_TakesAPublishedFile(t *testing.T) {
	content, err := os.ReadFile("internal/workforce/testdata/pcn_workforce_individual_2020-03.csv.gz")
	require.NoError(t, err)
	eachPlan(t, func(t *testing.T, s *planSuite) {
		got, err := s.upload(t, "r1", string(content), nil)
		require.NoError(t, err)
		held := got.GetWorkforceImport()
		require.Equal(t, []any{"2020-03", int32(534), int32(188)}, []any{held.GetMonth(), held.GetRows(), held.GetPcns()})
		require.Empty(t, held.GetUnmapped(), "every published name stands in the table")
		list, err := s.arrs.ListWorkforce(planAs(t, testkit.Auditor("*")), &arrsv1.ListWorkforceRequest{PcnCode: "U68696"})
		require.NoError(t, err)
		require.NotEmpty(t, list.GetRows())
	})
}
