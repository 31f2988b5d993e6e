"""Why each permission in the template is there, in a sentence for the person who has to say yes.

tests/deploy/test_permissions.py holds this table against the template: an action without a reason fails, and so does a
reason without an action.
"""

from __future__ import annotations

from .template import Statement, Template

__all__ = ["REASONS", "explain", "reason"]

REASONS = {
    # the scheduler's role
    "lambda:InvokeFunction": "start a worker: wake one of the stack's worker functions",
    "lambda:GetFunction": "see whether a worker function is ready, and which version it runs",
    "ecs:RunTask": "start a worker as a Fargate task of the stack's task definition",
    "ecs:StopTask": "end an idle worker on Fargate",
    "ecs:DescribeTasks": "see which Fargate workers are up",
    "ecs:ListTasks": "find Fargate workers that were started before a restart of the scheduler",
    "iam:PassRole": "let a Fargate task or a worker function run under the stack's own worker role, no other",
    "autoscaling:SetDesiredCapacity": "start workers on EC2: raise the stack's autoscaling group",
    "autoscaling:TerminateInstanceInAutoScalingGroup": "end an idle worker on EC2, that very instance",
    "autoscaling:DescribeAutoScalingGroups": "see which EC2 workers are up and whether spot capacity was there",
    "cloudwatch:GetMetricData": "read the workers' metrics back for the health of the deployment",
    # the scheduler's role, only with SchedulerAccess=managed
    "lambda:CreateFunction": "managed: make further worker functions (terality-NAME-… only)",
    "lambda:UpdateFunctionCode": "managed: bring its own worker functions up to date",
    "lambda:UpdateFunctionConfiguration": "managed: change the memory of its own worker functions",
    "lambda:DeleteFunction": "managed: remove its own worker functions",
    "lambda:PutFunctionEventInvokeConfig": "managed: switch off retries of its own worker functions",
    "lambda:TagResource": "managed: mark what it makes as this deployment's",
    "ecs:CreateCluster": "managed: make ECS clusters (terality-NAME-… only)",
    "ecs:DeleteCluster": "managed: remove its own ECS clusters",
    "ecs:DescribeClusters": "managed: look at its own ECS clusters",
    "ecs:TagResource": "managed: mark what it makes as this deployment's",
    "autoscaling:CreateAutoScalingGroup": "managed: make further autoscaling groups (terality-NAME-… only)",
    "autoscaling:UpdateAutoScalingGroup": "managed: change sizes and instance types of its own groups",
    "autoscaling:DeleteAutoScalingGroup": "managed: remove its own groups",
    "autoscaling:CreateOrUpdateTags": "managed: mark what it makes as this deployment's",
    "ec2:RunInstances": "managed: what making an autoscaling group from the stack's launch template asks for",
    "ec2:CreateTags": "managed: mark what it makes as this deployment's",
    "ec2:CreateLaunchTemplate": "managed: make the launch template of its own groups",
    "ec2:CreateLaunchTemplateVersion": "managed: bring the launch template of its own groups up to date",
    "ec2:DeleteLaunchTemplate": "managed: remove the launch template of its own groups",
    "ecs:RegisterTaskDefinition": "managed: define tasks of its own (terality-NAME-… only)",
    "ec2:DescribeLaunchTemplates": "managed: find the stack's launch template",
    # the workers' roles
    "s3:GetObject": "workers read inputs, exchanged rows and results",
    "s3:PutObject": "workers write exchanged rows, commits, results and their lines of the audit log",
    "s3:DeleteObject": "workers remove what a query no longer needs",
    "s3:ListBucket": "workers find the files of a folder",
    "logs:CreateLogStream": "workers write their logs",
    "logs:PutLogEvents": "workers write their logs",
    "ecr:GetAuthorizationToken": "Fargate pulls the worker's image",
    "ecr:BatchCheckLayerAvailability": "Fargate pulls the worker's image",
    "ecr:GetDownloadUrlForLayer": "Fargate pulls the worker's image",
    "ecr:BatchGetImage": "Fargate pulls the worker's image",
    # the Lambda workers' role, only with AttachLambdaToVpc=yes: used by Lambda's service, denied to the worker itself
    "ec2:CreateNetworkInterface": "Lambda's service attaches worker functions to the network",
    "ec2:DeleteNetworkInterface": "Lambda's service detaches worker functions from the network",
    "ec2:DescribeNetworkInterfaces": "Lambda's service finds the network interfaces it made",
    "ec2:DescribeSubnets": "Lambda's service looks at the subnets it attaches worker functions to",
    "ec2:AssignPrivateIpAddresses": "Lambda's service gives the network interfaces it made addresses",
    "ec2:UnassignPrivateIpAddresses": "Lambda's service takes addresses from the network interfaces it made",
    # a scheduler in this account
    "sts:AssumeRole": "the scheduler in this account takes the scheduler's role, as one elsewhere would",
    "ssm:GetParameter": "the scheduler in this account reads its certificate and its admin key",
    "kms:Decrypt": "the parameter store opens the certificate's key and the admin key for the scheduler's machine",
    "ec2:AttachVolume": "the scheduler's machine takes the disk with its database, after a replacement too",
    "ec2:AssociateAddress": "the scheduler's machine takes its fixed address, after a replacement too",
}


def reason(action: str) -> str:
    """Give the reason for an action; says so when there is none."""
    return REASONS.get(action, "no reason on record: look at the template before you agree")


def explain(template: Template, parameters: dict[str, str], pseudo: dict[str, str]) -> list[str]:
    """Give lines that list, for each role, what it may do and why, and what it is denied."""
    lines = []
    boundaries = template.boundaries()
    by_role: dict[str, list[Statement]] = {}
    for statement in template.statements(parameters, pseudo):
        if statement.role not in boundaries:
            by_role.setdefault(statement.role, []).append(statement)
    for role, statements in by_role.items():
        lines.append(f"{role} may")
        for statement in statements:
            if statement.effect == "Allow":
                lines += [f"  {action:<46} {reason(action)}" for action in statement.actions]
                lines += [f"      on {resource}" for resource in statement.resources]
                lines += [f"      if {condition}" for condition in statement.conditions]
        denied = [action for s in statements if s.effect == "Deny" for action in s.actions]
        if denied:
            lines.append(f"  and never, whatever else allows it: {', '.join(dict.fromkeys(denied))}")
    return lines
