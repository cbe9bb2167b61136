import * as path from 'path';
import * as cdk from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';

export class ShopStack extends cdk.Stack {
  constructor(scope: Construct, id: string, props?: cdk.StackProps) {
    super(scope, id, props);

    new lambda.DockerImageFunction(this, 'Orders', {
      functionName: 'shop-orders',
      code: lambda.DockerImageCode.fromImageAsset('lambdas/orders'),
      architecture: lambda.Architecture.ARM_64,
    });

    new lambda.DockerImageFunction(this, 'Invoices', {
      code: lambda.DockerImageCode.fromImageAsset(path.join(__dirname, '../lambdas/invoices'), {
        buildArgs: { STAGE: 'prod' },
      }),
      architecture: lambda.Architecture.ARM_64,
    });

    new lambda.Function(this, 'Zipped', {
      code: lambda.Code.fromDockerBuild('lambdas/zipped'),
      handler: 'app.handler',
      runtime: lambda.Runtime.PYTHON_3_13,
    });
  }
}
